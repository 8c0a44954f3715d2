// Package storetest has the tests of a store, for each database.
package storetest

import (
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/store"
)

const seats = 50

// Run tests a store. open returns a pool of connections to a new database, which has the tables
// of the store.
func Run(t *testing.T, open func(*testing.T) *sql.DB) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"A booking that is sent twice is made once":              aBookingThatIsSentTwiceIsMadeOnce,
		"A booking gets all its seats or none":                   aBookingGetsAllItsSeatsOrNone,
		"A booking that is sent many times at once is made once": aBookingThatIsSentManyTimesAtOnceIsMadeOnce,
		"A seat is sold once":                                    aSeatIsSoldOnce,
		"The outbox keeps a row until it is forgotten":           theOutboxKeepsARowUntilItIsForgotten,
		"A notice is added once":                                 aNoticeIsAddedOnce,
		"Sessions and prices":                                    sessionsAndPrices,
	} {
		t.Run(name, func(t *testing.T) {
			s := store.New(open(t))
			if err := s.Seed(t.Context(), 3, seats); err != nil {
				t.Fatal(err)
			}
			test(t, s)
		})
	}
}

func aBookingThatIsSentTwiceIsMadeOnce(t *testing.T, s *store.Store) {
	b := store.Booking{ID: "b", Concert: 2, Person: "ada@example.org", Seats: []int{7, 3}}
	first, err := s.Book(t.Context(), b)
	if err != nil || first == 0 {
		t.Fatalf("outgoing %d, error %v", first, err)
	}
	if again, err := s.Book(t.Context(), b); err != nil || again != 0 {
		t.Errorf("the second time: outgoing %d, error %v, want none", again, err)
	}
	b.Seats = []int{3, 8}
	if _, err := s.Book(t.Context(), b); !errors.Is(err, store.ErrSold) {
		t.Errorf("the same id with other seats: error %v, want ErrSold", err)
	}
	if sold, err := s.SoldSeats(t.Context(), 2); err != nil || !slices.Equal(sold, []int{3, 7}) {
		t.Errorf("sold seats %v, error %v, want 3 and 7", sold, err)
	}
	if kept, err := s.Booking(t.Context(), "b"); err != nil || !slices.Equal(kept.Seats, []int{3, 7}) {
		t.Errorf("the booking is %+v, error %v", kept, err)
	}
}

func aBookingGetsAllItsSeatsOrNone(t *testing.T, s *store.Store) {
	if _, err := s.Book(t.Context(), store.Booking{ID: "a", Concert: 1, Seats: []int{5}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		booking store.Booking
		want    error
	}{
		"a sold seat":      {store.Booking{ID: "b", Concert: 1, Seats: []int{4, 5}}, store.ErrSold},
		"a seat too high":  {store.Booking{ID: "c", Concert: 1, Seats: []int{4, seats + 1}}, store.ErrNoSeat},
		"no such concert":  {store.Booking{ID: "d", Concert: 9, Seats: []int{4}}, store.ErrNotFound},
		"a negative seat":  {store.Booking{ID: "e", Concert: 1, Seats: []int{-1}}, store.ErrNoSeat},
		"a seat that is 0": {store.Booking{ID: "f", Concert: 1, Seats: []int{0}}, store.ErrNoSeat},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Book(t.Context(), c.booking); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if _, err := s.Booking(t.Context(), c.booking.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the booking is there, error %v", err)
			}
		})
	}
	if sold, err := s.SoldSeats(t.Context(), 1); err != nil || !slices.Equal(sold, []int{5}) {
		t.Errorf("sold seats %v, error %v, want 5", sold, err)
	}
}

// aBookingThatIsSentManyTimesAtOnceIsMadeOnce: a load balancer sends a request again while an
// instance still works on it.
func aBookingThatIsSentManyTimesAtOnceIsMadeOnce(t *testing.T, s *store.Store) {
	var made atomic.Int64
	var instances sync.WaitGroup
	for range 8 {
		instances.Go(func() {
			for n := range 20 {
				outgoing, err := s.Book(t.Context(), store.Booking{ID: strconv.Itoa(n), Concert: 3, Seats: []int{2*n + 2, 2*n + 1}})
				if err != nil {
					t.Error(err)
				}
				if outgoing != 0 {
					made.Add(1)
				}
			}
		})
	}
	instances.Wait()
	if n := made.Load(); n != 20 {
		t.Errorf("%d bookings were made, want 20", n)
	}
}

// aSeatIsSoldOnce lets many buyers want the same seats at once.
func aSeatIsSoldOnce(t *testing.T, s *store.Store) {
	var sold atomic.Int64
	var buyers sync.WaitGroup
	for n := range 8 {
		buyers.Go(func() {
			for seat := 1; seat < 20; seat++ {
				id := strconv.Itoa(n) + "-" + strconv.Itoa(seat)
				_, err := s.Book(t.Context(), store.Booking{ID: id, Concert: 3, Seats: []int{seat, seat + 1}})
				switch {
				case err == nil:
					sold.Add(2)
				case !errors.Is(err, store.ErrSold):
					t.Error(err)
				}
			}
		})
	}
	buyers.Wait()
	all, err := s.AllSold(t.Context())
	if err != nil || int64(len(all)) != sold.Load() {
		t.Errorf("%d seats are sold in the database, and %d to buyers, error %v", len(all), sold.Load(), err)
	}
}

func theOutboxKeepsARowUntilItIsForgotten(t *testing.T, s *store.Store) {
	booked, err := s.Book(t.Context(), store.Booking{ID: "b", Concert: 2, Seats: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	welcome, err := s.SignUp(t.Context(), "ada@example.org", "Ada", "s1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.SignUp(t.Context(), "ada@example.org", "Ada", "s2"); err != nil || again != 0 {
		t.Errorf("a second sign-up: outgoing %d, error %v, want none", again, err)
	}
	want := []store.Outgoing{{ID: booked, Kind: store.KindSeats, Subject: "2"}, {ID: welcome, Kind: store.KindWelcome, Subject: "ada@example.org"}}
	if due, err := s.Due(t.Context(), time.Now().Add(time.Second)); err != nil || !slices.Equal(due, want) {
		t.Errorf("due are %v, error %v, want %v", due, err, want)
	}
	if due, err := s.Due(t.Context(), time.Now().Add(-time.Minute)); err != nil || len(due) != 0 {
		t.Errorf("due a minute ago are %v, error %v, want none", due, err)
	}
	if err := s.Forget(t.Context(), booked); err != nil {
		t.Error(err)
	}
	if due, err := s.Due(t.Context(), time.Now().Add(time.Second)); err != nil || !slices.Equal(due, want[1:]) {
		t.Errorf("due are %v, error %v, want %v", due, err, want[1:])
	}
}

func aNoticeIsAddedOnce(t *testing.T, s *store.Store) {
	for _, c := range []struct {
		concert    int64
		name, text string
		want       error
	}{
		{2, "doors", "The doors open at 7.", nil},
		{2, "doors", "The doors open at 7.", nil},
		{2, "doors", "The doors open at 8.", store.ErrTaken},
		{3, "doors", "The doors open at 8.", nil},
		{2, "bags", "No large bags.", nil},
		{9, "doors", "The doors open at 7.", store.ErrNotFound},
	} {
		if err := s.AddNotice(t.Context(), c.concert, c.name, c.text); !errors.Is(err, c.want) {
			t.Errorf("notice %q of concert %d, %q: error %v, want %v", c.name, c.concert, c.text, err, c.want)
		}
	}
	var texts []string
	all, err := s.Notices(t.Context(), 2)
	for _, n := range all {
		texts = append(texts, n.Text)
	}
	if want := []string{"No large bags.", "The doors open at 7."}; err != nil || !slices.Equal(texts, want) {
		t.Errorf("notices %q, error %v, want %q", texts, err, want)
	}
}

func sessionsAndPrices(t *testing.T, s *store.Store) {
	if _, err := s.SignUp(t.Context(), "ada@example.org", "Ada", "s1"); err != nil {
		t.Fatal(err)
	}
	if email, err := s.Session(t.Context(), "s1"); err != nil || email != "ada@example.org" {
		t.Errorf("session of %q, error %v", email, err)
	}
	closed, err := s.CloseSession(t.Context(), "s1")
	if err != nil || closed == 0 {
		t.Errorf("close: outgoing %d, error %v", closed, err)
	}
	if again, err := s.CloseSession(t.Context(), "s1"); err != nil || again != 0 {
		t.Errorf("the second time: outgoing %d, error %v, want none", again, err)
	}
	due, err := s.Due(t.Context(), time.Now().Add(time.Second))
	if want := (store.Outgoing{ID: closed, Kind: store.KindSession, Subject: "s1"}); err != nil || !slices.Contains(due, want) {
		t.Errorf("due are %v, error %v, want %v", due, err, want)
	}
	if _, err := s.Session(t.Context(), "s1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a closed session: error %v, want ErrNotFound", err)
	}
	if err := s.SetPrice(t.Context(), 2, 4200); err != nil {
		t.Error(err)
	}
	if c, err := s.Concert(t.Context(), 2); err != nil || c.Cents != 4200 || c.Version != 2 {
		t.Errorf("concert %+v, error %v, want the price 4200 in version 2", c, err)
	}
	if err := s.SetPrice(t.Context(), 9, 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the price of no concert: error %v, want ErrNotFound", err)
	}
}
