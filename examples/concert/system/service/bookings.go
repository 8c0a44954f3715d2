package service

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// maxSeats is how many seats one booking may have.
const maxSeats = 8

// putBooking books seats. The transaction decides whether a seat is free, and not a cache. After
// the commit the cached seats are invalidated. If the process dies before that, the row that the
// transaction has left in the outbox makes another instance do it.
func (s *Service) putBooking(r *http.Request) (reply, error) {
	person, err := s.session(r)
	if err != nil {
		return reply{}, err
	}
	var body struct {
		Concert int64
		Seats   []int
	}
	if err := decode(r, &body); err != nil {
		return reply{}, err
	}
	b := store.Booking{ID: r.PathValue("id"), Concert: body.Concert, Person: person.Subject, Seats: body.Seats}
	if slices.Sort(b.Seats); len(b.Seats) == 0 || len(b.Seats) > maxSeats || len(slices.Compact(slices.Clone(b.Seats))) != len(b.Seats) {
		return reply{}, errBadRequest("a booking has from 1 to " + strconv.Itoa(maxSeats) + " different seats")
	}
	outgoing, err := s.store.Book(r.Context(), b)
	if err != nil {
		return reply{}, err
	}
	s.crash.at(CrashAfterCommit)
	s.committed(r.Context(), outgoing, s.read.seats.invalidate(r.Context(), b.Concert))
	return reply{status: http.StatusCreated, body: b}, nil
}

func (s *Service) getBooking(r *http.Request) (reply, error) {
	person, err := s.session(r)
	if err != nil {
		return reply{}, err
	}
	b, err := s.store.Booking(r.Context(), r.PathValue("id"))
	if err == nil && b.Person != person.Subject {
		err = store.ErrNotFound
	}
	return reply{body: b}, err
}
