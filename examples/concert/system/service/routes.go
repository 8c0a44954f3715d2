package service

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/nearside-go/nearside/cache"

	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// maxBody is how many bytes of a request are read.
const maxBody = 16 << 10

func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /statsz", s.statsz)

	mux.HandleFunc("GET /api/categories", answer(s.getCategories))
	mux.HandleFunc("GET /api/categories/{id}/concerts", answer(s.getConcerts))
	mux.HandleFunc("GET /api/concerts/{id}", answer(s.getConcert))
	mux.HandleFunc("PUT /api/concerts/{id}/price", answer(s.putPrice))
	mux.HandleFunc("PUT /api/concerts/{id}/notices/{name}", answer(s.putNotice))
	mux.HandleFunc("GET /api/concerts/{id}/seats", answer(s.getSeats))
	mux.HandleFunc("PUT /api/signups/{email}", answer(s.putSignUp))
	mux.HandleFunc("GET /api/session", answer(s.getSession))
	mux.HandleFunc("DELETE /api/session", answer(s.deleteSession))
	mux.HandleFunc("PUT /api/bookings/{id}", answer(s.putBooking))
	mux.HandleFunc("GET /api/bookings/{id}", answer(s.getBooking))
	return s.counting(http.MaxBytesHandler(mux, maxBody))
}

// counting counts the requests of users that are in flight.
func (s *Service) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			s.inFlight.Add(1)
			defer s.inFlight.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
}

// reply is the answer to a request. A status of 0 is 200.
type reply struct {
	status int
	body   any
	edge   edgeHeaders
}

// errBadRequest is an error whose text the client may read.
type errBadRequest string

func (e errBadRequest) Error() string { return string(e) }

var errNoSession = errors.New("no open session")

// answer makes an http.Handler of a function that returns a reply or an error.
func answer(f func(*http.Request) (reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rep, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		if rep.edge.apply(w, r) {
			return
		}
		body, err := json.Marshal(rep.body)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if rep.status != 0 {
			w.WriteHeader(rep.status)
		}
		_, _ = w.Write(body) // a client that has left gets no answer
	}
}

func fail(w http.ResponseWriter, err error) {
	w.Header().Set("Cache-Control", "no-store")
	var bad errBadRequest
	switch {
	case errors.As(err, &bad):
		http.Error(w, bad.Error(), http.StatusBadRequest)
	case errors.Is(err, errNoSession):
		http.Error(w, err.Error(), http.StatusUnauthorized)
	case errors.Is(err, cache.ErrNotFound), errors.Is(err, store.ErrNotFound):
		http.Error(w, "not found", http.StatusNotFound)
	case errors.Is(err, store.ErrSold):
		http.Error(w, "a seat is sold already", http.StatusConflict)
	case errors.Is(err, store.ErrTaken):
		http.Error(w, "the notice has another text already", http.StatusConflict)
	case errors.Is(err, store.ErrNoSeat):
		http.Error(w, "the hall has no such seat", http.StatusBadRequest)
	case errors.Is(err, context.Canceled):
		http.Error(w, "the client has left", 499)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// invalidated handles the error of an invalidation. The write has been made, so the request
// succeeds: this instance repeats the invalidation until Redis has confirmed it.
func (s *Service) invalidated(err error) {
	if err != nil {
		s.log.Warn("an invalidation waits for Redis", "error", err)
	}
}

func (s *Service) readyz(w http.ResponseWriter, _ *http.Request) {
	now := state(s.state.Load())
	text := now.String()
	if why := s.why.Load(); now == starting && why != nil {
		text += ": " + *why
	}
	if now != ready {
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte(text + "\n"))
}

// Stats are the counts of an instance.
type Stats struct {
	Name, State string
	Version     int
	InFlight    int64  // requests of users that are being answered
	Local       uint64 // reads that the local tier answered
	Remote      uint64 // reads that Redis answered
	Missed      uint64 // reads that neither tier answered
	Loads       uint64 // queries for them; reads of one key share a load
	Renewed     uint64 // TTLs in Redis that reads have renewed
	Corrupt     uint64 // records in Redis that could not be decoded
	Unanswered  uint64 // commands that Redis did not answer in time, or that were not sent because the breaker was open
	Unconfirmed int    // invalidations that Redis has not confirmed
	RedisAway   bool   // the breaker is open
	Following   bool   // the log of invalidations is being read
}

// Stats returns the counts of the instance.
func (s *Service) Stats() Stats {
	out := Stats{Name: s.config.Name, State: state(s.state.Load()).String(), Version: s.config.Version, InFlight: s.inFlight.Load()}
	if s.redis != nil {
		stats := s.redis.Stats()
		out.RedisAway, out.Following = stats.BreakerOpen, stats.LogFollowing
	}
	for _, c := range s.read.all {
		n := c.stats()
		out.Local += n.LocalHits + n.LocalNotFoundHits
		out.Remote += n.RemoteHits + n.RemoteNotFoundHits
		out.Missed += n.Misses
		out.Loads += n.Loads
		out.Renewed += n.Touches
		out.Corrupt += n.CorruptRecords
		out.Unanswered += n.RemoteTimeouts + n.RemoteUnavailable
		out.Unconfirmed += n.Unconfirmed
	}
	return out
}

func (s *Service) statsz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.Stats())
}

// pathID returns the id in the path of a request.
func pathID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, errBadRequest("the id is not a positive number")
	}
	return id, nil
}

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errBadRequest("the body is not the JSON object that is expected: " + err.Error())
	}
	return nil
}
