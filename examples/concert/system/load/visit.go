package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// visit is one request of a user.
type visit struct {
	*Users
	account
	ctx     context.Context
	random  *rand.Rand
	concert int64
}

// any sends one of the requests, and checks the answer. Of 1000 requests 800 are reads of
// concerts, 90 are bookings, and 10 change a price or add a notice.
func (v *visit) any() error {
	switch n := v.random.IntN(1000); {
	case n < 550:
		return v.page()
	case n < 700:
		return v.hall()
	case n < 800:
		return v.list()
	case n < 900:
		return v.whoAmI()
	case n < 990:
		return v.book()
	case n < 995:
		return v.notify()
	}
	return v.raise()
}

func (v *visit) page() error {
	var page service.Page
	if err := v.Get(v.ctx, "/api/concerts/"+id(v.concert), v.token, &page); err != nil {
		return err
	}
	if page.ID != v.concert || page.Cents <= 0 || page.CategoryName == "" {
		return fmt.Errorf("the page of concert %d is %+v", v.concert, page)
	}
	return nil
}

func (v *visit) hall() error {
	var hall service.Hall
	if err := v.Get(v.ctx, "/api/concerts/"+id(v.concert)+"/seats", v.token, &hall); err != nil {
		return err
	}
	if hall.Seats != Seats {
		return fmt.Errorf("the hall of concert %d has %d seats, not %d", v.concert, hall.Seats, Seats)
	}
	return nil
}

func (v *visit) list() error {
	category := 1 + v.random.Int64N(4)
	var all []service.View
	if err := v.Get(v.ctx, "/api/categories/"+id(category)+"/concerts", v.token, &all); err != nil {
		return err
	}
	for _, one := range all {
		if one.Category != category {
			return fmt.Errorf("concert %d of category %d is in the list of %d", one.ID, one.Category, category)
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("the list of category %d is empty", category)
	}
	return nil
}

func (v *visit) whoAmI() error {
	var p service.Person
	if err := v.Get(v.ctx, "/api/session", v.token, &p); err != nil {
		return err
	}
	if p.Email != v.email {
		return fmt.Errorf("the session of %s is that of %q", v.email, p.Email)
	}
	return nil
}

// Unbooked is how many of the last concerts the users book no seats in: scenarios do.
const Unbooked = 100

// book books one or two seats. That they are sold already is an answer like any other.
func (v *visit) book() error {
	concert := 1 + (v.concert-1)%(Concerts-Unbooked)
	name := v.name("b")
	seats := []int{1 + v.random.IntN(Seats)}
	if next := seats[0] + 1; v.random.IntN(2) == 0 && next <= Seats {
		seats = append(seats, next)
	}
	err := v.Book(v.ctx, v.token, name, concert, seats)
	if errors.Is(err, ErrSold) {
		return nil
	}
	return err
}

// name returns a name that nothing else has.
func (v *visit) name(kind string) string {
	return fmt.Sprintf("%s-%d-%x", kind, v.serial.Add(1), v.random.Uint64())
}

// Watched are the concerts whose prices and notices the users leave alone: scenarios change the
// prices, and wait until all instances show the new one.
var Watched = [...]int64{2, 3, Concerts - 120, Concerts - 140}

// unwatched is the concert of the visit, or the next one that scenarios do not watch.
func (v *visit) unwatched() int64 {
	concert := v.concert
	for slices.Contains(Watched[:], concert) {
		concert++
	}
	return concert
}

// raise changes a price.
func (v *visit) raise() error {
	return v.SetPrice(v.ctx, v.unwatched(), 1000+v.random.Int64N(9000))
}

// notify adds a notice.
func (v *visit) notify() error {
	path := "/api/concerts/" + id(v.unwatched()) + "/notices/" + v.name("n")
	return v.send(v.ctx, http.MethodPut, path, "", map[string]any{"Text": "The doors open later."}, nil)
}

// watcher returns the requests of a user that watches the seats of a concert. The answer to each
// request comes when another seat is sold, or when the service waits no longer.
func watcher() func(*visit) error {
	concert, known := int64(0), ""
	return func(v *visit) error {
		if concert == 0 {
			concert = v.concert
		}
		var hall service.Hall
		err := v.Get(v.ctx, "/api/concerts/"+id(concert)+"/seats?sold="+known, v.token, &hall)
		if err == nil {
			known = strconv.Itoa(len(hall.Sold))
		}
		return err
	}
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

// ErrSold reports that a seat is sold already.
var ErrSold = errors.New("a seat is sold already")

// SignUp signs a person up, and returns the token of the session.
func (u *Users) SignUp(ctx context.Context, email string) (token string, err error) {
	var p service.Person
	err = u.send(ctx, http.MethodPut, "/api/signups/"+email, "", map[string]any{"Name": email}, &p)
	return p.Token, err
}

// Book books seats, and enters a booking that was confirmed into the Ledger.
func (u *Users) Book(ctx context.Context, token, name string, concert int64, seats []int) error {
	err := u.send(ctx, http.MethodPut, "/api/bookings/"+name, token, map[string]any{"Concert": concert, "Seats": seats}, nil)
	if err == nil {
		u.Ledger.enter(name, concert, seats)
	}
	return err
}

// SetPrice changes a price.
func (u *Users) SetPrice(ctx context.Context, concert, cents int64) error {
	err := u.send(ctx, http.MethodPut, "/api/concerts/"+id(concert)+"/price", "", map[string]any{"Cents": cents}, nil)
	return err
}

// Token returns the token of one of the users.
func (u *Users) Token() string { return u.accounts[0].token }

// Get reads a path as JSON.
func (u *Users) Get(ctx context.Context, path, token string, into any) error {
	return u.send(ctx, http.MethodGet, path, token, nil, into)
}

func (u *Users) send(ctx context.Context, method, path, token string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, u.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if method != http.MethodGet {
		// net/http sends such a request once more if an idle connection turns out to be closed.
		req.Header.Set("Idempotency-Key", path)
	}
	u.sent.Add(1)
	resp, err := u.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode == http.StatusConflict {
		return ErrSold
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s at %s: %d %.200s", method, path, resp.Header.Get("X-Instance"), resp.StatusCode, bytes.TrimSpace(answer))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
