package service_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/service"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

func TestASessionIsOpenAndClosedOnAllInstances(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	a, b := s.start(t, nil).ready(), s.start(t, nil).ready()
	token := a.signUp("ada@example.org")
	var p service.Person
	b.send(http.MethodGet, "/api/session", token, nil).decode(t, &p)
	if p.Email != "ada@example.org" {
		t.Errorf("the session is that of %q", p.Email)
	}
	if got := a.send(http.MethodDelete, "/api/session", token, nil); got.status != http.StatusOK {
		t.Errorf("close: status %d, %s", got.status, got.body)
	}
	// The session repository has no local tier, so b knows at once.
	if got := b.send(http.MethodGet, "/api/session", token, nil); got.status != http.StatusUnauthorized {
		t.Errorf("a closed session: status %d, %s, want 401", got.status, got.body)
	}
	if got := b.send(http.MethodDelete, "/api/session", token, nil); got.status != http.StatusOK { // sent again by a load balancer
		t.Errorf("close again: status %d, %s", got.status, got.body)
	}
	if got := a.send(http.MethodDelete, "/api/session", "guessed", nil); got.status != http.StatusUnauthorized {
		t.Errorf("close of no session: status %d, %s, want 401", got.status, got.body)
	}
}

// TestASessionWhoseCloserDiedIsClosed: the closer died after its commit, so the row of the outbox
// is all that the others have.
func TestASessionWhoseCloserDiedIsClosed(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	i := s.start(t, nil).ready()
	token := i.signUp("ada@example.org")
	var session jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &session); err != nil {
		t.Fatal(err)
	}
	status := func() int { return i.send(http.MethodGet, "/api/session", token, nil).status }
	if got := status(); got != http.StatusOK { // Redis has it now
		t.Fatalf("an open session: status %d", got)
	}
	db := sqlite.Open(s.config.Database)
	defer db.Close()
	if _, err := store.New(db).CloseSession(t.Context(), session.ID); err != nil {
		t.Fatal(err)
	}
	i.await("the session is closed", func() bool { return status() == http.StatusUnauthorized })
}

func TestAForgedTokenIsNoSession(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	i := s.start(t, nil).ready()
	good := i.signUp("ada@example.org")
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(good, &claims); err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any, change func(*jwt.RegisteredClaims)) string {
		c := claims
		if change != nil {
			change(&c)
		}
		text, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	right := []byte(s.config.Secret)
	for name, token := range map[string]string{
		"none":           "",
		"no token":       "ada",
		"another key":    sign(jwt.SigningMethodHS256, []byte("guessed"), nil),
		"not signed":     sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"another person": sign(jwt.SigningMethodHS256, right, func(c *jwt.RegisteredClaims) { c.Subject = "bob@example.org" }),
		"no session":     sign(jwt.SigningMethodHS256, right, func(c *jwt.RegisteredClaims) { c.ID = "guessed" }),
		"expired":        sign(jwt.SigningMethodHS256, right, func(c *jwt.RegisteredClaims) { c.ExpiresAt = jwt.NewNumericDate(time.Unix(1, 0)) }),
		"without an end": sign(jwt.SigningMethodHS256, right, func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }),
	} {
		if got := i.send(http.MethodGet, "/api/session", token, nil); got.status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, %s, want 401", name, got.status, got.body)
		}
	}
	if got := i.send(http.MethodGet, "/api/session", sign(jwt.SigningMethodHS256, right, nil), nil); got.status != http.StatusOK {
		t.Errorf("the same claims: status %d, %s, want 200", got.status, got.body)
	}
}

func TestAnAnswerThatHasNotChangedHasNoBody(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	i := s.start(t, nil).ready()
	for _, path := range []string{"/api/concerts/1", "/api/categories/2/concerts"} {
		first := i.send(http.MethodGet, path, "", nil)
		tag := first.header.Get("ETag")
		if tag == "" || !strings.Contains(first.header.Get("Cache-Control"), "s-maxage=60") || !strings.Contains(first.header.Get("Surrogate-Key"), "concert-1") {
			t.Errorf("%s: headers %v", path, first.header)
		}
		for _, match := range []string{tag, "W/" + tag, `"other", ` + tag} {
			if got := i.send(http.MethodGet, path, "", nil, "If-None-Match", match); got.status != http.StatusNotModified || len(got.body) > 0 {
				t.Errorf("%s, If-None-Match %s: status %d with %d bytes, want 304 and none", path, match, got.status, len(got.body))
			}
		}
		i.send(http.MethodPut, "/api/concerts/1/price", "", map[string]any{"Cents": 77})
		if got := i.send(http.MethodGet, path, "", nil, "If-None-Match", tag); got.status != http.StatusOK || got.header.Get("ETag") == tag {
			t.Errorf("%s after a change: status %d with the tag %s", path, got.status, got.header.Get("ETag"))
		}
	}
	var page service.Page
	put := func(path, text string) int {
		return i.send(http.MethodPut, "/api/concerts/"+path, "", map[string]any{"Text": text}).status
	}
	for _, c := range []struct {
		path, text string
		want       int
	}{
		{"1/notices/doors", "The doors open at 7.", 200},
		{"1/notices/doors", "The doors open at 7.", 200}, // sent again by a load balancer
		{"1/notices/doors", "The doors open at 8.", 409},
		{"9/notices/doors", "The doors open at 7.", 404},
	} {
		if got := put(c.path, c.text); got != c.want {
			t.Errorf("PUT %s %q: status %d, want %d", c.path, c.text, got, c.want)
		}
	}
	i.send(http.MethodGet, "/api/concerts/1", "", nil).decode(t, &page)
	if len(page.Notices) != 1 || page.Notices[0].Text != "The doors open at 7." {
		t.Errorf("notices %v, want the new one", page.Notices)
	}
	if got := i.send(http.MethodGet, "/api/concerts/9", "", nil); got.status != http.StatusNotFound || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("no such concert: status %d, headers %v", got.status, got.header)
	}
}

func TestABookingOnOneInstanceIsSeenOnAnother(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	a, b := s.start(t, nil).ready(), s.start(t, nil).ready()
	token := a.signUp("ada@example.org")
	sold := func(i *instance) int {
		var hall service.Hall
		i.send(http.MethodGet, "/api/concerts/2/seats", "", nil).decode(t, &hall)
		return len(hall.Sold)
	}
	sold(a)
	sold(b)
	book := func(id, token string, seats ...int) int {
		return a.send(http.MethodPut, "/api/bookings/"+id, token, map[string]any{"Concert": 2, "Seats": seats}).status
	}
	for _, c := range []struct {
		id, token string
		seats     []int
		want      int
	}{
		{"one", token, []int{1, 2}, 201}, {"one", token, []int{1, 2}, 201}, {"two", token, []int{2}, 409},
		{"three", "", []int{3}, 401}, {"four", token, nil, 400}, {"five", token, []int{3, 3}, 400}, {"six", token, []int{99}, 400},
	} {
		if got := book(c.id, c.token, c.seats...); got != c.want {
			t.Errorf("booking %s of %v: status %d, want %d", c.id, c.seats, got, c.want)
		}
	}
	if n := sold(a); n != 2 {
		t.Errorf("%d seats are sold on the instance that sold them, want 2", n)
	}
	b.await("the other instance shows both seats as sold", func() bool { return sold(b) == 2 })
	other := a.signUp("bob@example.org")
	if got := b.send(http.MethodGet, "/api/bookings/one", other, nil); got.status != http.StatusNotFound {
		t.Errorf("the booking of another person: status %d, want 404", got.status)
	}
}

func TestAWelcomeMailIsSentOnce(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	release := s.mail.Hold()
	i := s.start(t, nil).ready()
	i.signUp("ada@example.org") // answers, although the provider hangs
	release()
	i.await("the mail is sent", func() bool { return s.mail.SentTo("ada@example.org") == 1 })
	i.signUp("ada@example.org") // a second session
	i.signUp("bob@example.org")
	i.await("the other mail is sent", func() bool { return s.mail.SentTo("bob@example.org") == 1 })
	if n := s.mail.SentTo("ada@example.org"); n != 1 {
		t.Errorf("%d mails to Ada, want 1", n)
	}
}

func TestABadRequestIsRefused(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	i := s.start(t, nil).ready()
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{http.MethodGet, "/api/concerts/x", nil},
		{http.MethodGet, "/api/concerts/-1", nil},
		{http.MethodPut, "/api/concerts/1/price", map[string]any{"Cents": 0}},
		{http.MethodPut, "/api/concerts/1/price", map[string]any{"Dollars": 1}},
		{http.MethodPut, "/api/concerts/1/price", "cheap"},
		{http.MethodPut, "/api/concerts/1/notices/doors", map[string]any{"Text": ""}},
		{http.MethodPut, "/api/concerts/1/notices/" + strings.Repeat("x", 300), map[string]any{"Text": "x"}},
		{http.MethodPut, "/api/concerts/1/notices/%00", map[string]any{"Text": "x"}},
		{http.MethodPut, "/api/signups/nobody", map[string]any{"Name": "A"}},
		{http.MethodPut, "/api/concerts/1/notices/doors", map[string]any{"Text": strings.Repeat("x", 20<<10)}},
	} {
		if got := i.send(c.method, c.path, "", c.body); got.status != http.StatusBadRequest {
			t.Errorf("%s %s %v: status %d, %s, want 400", c.method, c.path, c.body, got.status, got.body)
		}
	}
}

func TestAHallIsWatched(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	i := s.start(t, nil).ready()
	token := i.signUp("ada@example.org")
	sold := func(known string) (hall service.Hall) {
		i.send(http.MethodGet, "/api/concerts/2/seats?sold="+known, "", nil).decode(t, &hall)
		return hall
	}
	if hall := sold("0"); len(hall.Sold) != 0 || hall.Seats != 50 { // after a wait
		t.Errorf("the hall is %+v, want 50 seats, all free", hall)
	}
	news := make(chan error, 1)
	go func() {
		for {
			resp, err := http.Get(i.url + "/api/concerts/2/seats?sold=0")
			var hall service.Hall
			if err == nil {
				err = errors.Join(json.NewDecoder(resp.Body).Decode(&hall), resp.Body.Close())
			}
			if err != nil || len(hall.Sold) > 0 {
				news <- err
				return
			}
		}
	}()
	i.await("a request is in flight", func() bool {
		var st service.Stats
		i.send(http.MethodGet, "/statsz", "", nil).decode(t, &st)
		return st.InFlight == 1
	})
	if got := i.send(http.MethodPut, "/api/bookings/one", token, map[string]any{"Concert": 2, "Seats": []int{7}}); got.status != http.StatusCreated {
		t.Fatalf("booking: status %d, %s", got.status, got.body)
	}
	if err := <-news; err != nil {
		t.Error(err)
	}
	if hall := sold("0"); len(hall.Sold) != 1 {
		t.Errorf("the hall is %+v, want one seat sold", hall)
	}
	if got := i.send(http.MethodGet, "/api/concerts/2/seats?sold=some", "", nil); got.status != http.StatusBadRequest {
		t.Errorf("a number that is none: status %d, want 400", got.status)
	}
}

// TestAWriteThatFailsInvalidates: the database may have carried it out all the same.
func TestAWriteThatFailsInvalidates(t *testing.T) {
	s := newSystem(t)
	i := s.start(t, nil)
	t.Run("the database runs", func(t *testing.T) {
		s.startDatabase(t)
		i.ready()
		for range 2 {
			if got := i.send(http.MethodGet, "/api/concerts/1", "", nil); got.status != http.StatusOK {
				t.Fatalf("status %d, %s", got.status, got.body)
			}
		}
	})
	if got := i.send(http.MethodGet, "/api/concerts/1", "", nil); got.status != http.StatusOK {
		t.Fatalf("without the database a cached concert is answered with %d, %s", got.status, got.body)
	}
	if got := i.send(http.MethodPut, "/api/concerts/1/price", "", map[string]any{"Cents": 77}); got.status != http.StatusServiceUnavailable {
		t.Errorf("the price of a concert without the database: status %d, %s, want 503", got.status, got.body)
	}
	if got := i.send(http.MethodGet, "/api/concerts/1", "", nil); got.status != http.StatusServiceUnavailable {
		t.Errorf("after a write that failed: status %d, %s, want 503", got.status, got.body)
	}
}
