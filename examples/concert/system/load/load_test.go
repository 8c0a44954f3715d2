package load_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/load"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		of   []time.Duration
		p    int
		want time.Duration
	}{
		{nil, 50, 0}, {hundred[:1], 50, 1}, {hundred[:1], 99, 1},
		{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred[:10], 99, 10},
	} {
		if got := load.Percentile(c.of, c.p); got != c.want {
			t.Errorf("percentile %d of %d durations is %d, want %d", c.p, len(c.of), got, c.want)
		}
	}
}

// service answers sign-ups and bookings, lets each of more answer the requests of its pattern, and
// fails all other requests.
func service(t *testing.T, more map[string]http.HandlerFunc) *load.Users {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, answer := range more {
		mux.HandleFunc(pattern, answer)
	}
	mux.HandleFunc("PUT /api/signups/{email}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"token": "t-` + r.PathValue("email") + `"}`))
	})
	mux.HandleFunc("PUT /api/bookings/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == "late" {
			http.Error(w, "a seat is sold already", http.StatusConflict)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	u, err := load.NewUsers(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestASeatThatIsConfirmedTwiceIsNoticed(t *testing.T) {
	u := service(t, nil)
	for _, b := range []struct {
		name string
		seat int
	}{{"a", 1}, {"b", 2}, {"a", 1}, {"late", 1}} {
		if err := u.Book(t.Context(), "", b.name, 1, []int{b.seat}); err != nil && b.name != "late" {
			t.Fatal(err)
		}
	}
	if twice, sold := u.Ledger.Twice(); twice != 0 || sold != 2 {
		t.Errorf("%d seats were sold twice of %d, want none of 2", twice, sold)
	}
	if err := u.Book(t.Context(), "", "c", 1, []int{2}); err != nil {
		t.Fatal(err)
	}
	if twice, _ := u.Ledger.Twice(); twice != 1 {
		t.Errorf("%d seats were sold twice, want 1", twice)
	}
	if err := u.Ledger.Check(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "seat 2 of concert 1: b and c") {
		t.Errorf("error %v, want one that names the seat", err)
	}
}

func TestFailuresAreCounted(t *testing.T) {
	u := service(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	running := u.Start(ctx)
	for u.Requests() < 200 {
		<-time.After(time.Millisecond)
	}
	cancel()
	r := running.Stop()
	if r.Failures == 0 || int64(r.Failures) >= u.Requests() || r.First == nil {
		t.Errorf("the report is %+v, want some failures", r)
	}
	if _, sold := u.Ledger.Twice(); sold == 0 {
		t.Error("no booking was entered into the Ledger")
	}
	if n := u.Failures(); n != int64(r.Failures) {
		t.Errorf("the users count %d failures, and the report has %d", n, r.Failures)
	}
	if r.P50 <= 0 || r.P50 > r.P99 {
		t.Errorf("the latencies are %v and %v", r.P50, r.P99)
	}
}

// rightAnswers returns the right answers to all requests of the users that service does not
// answer itself.
func rightAnswers() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /api/session": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"email": "` + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer t-") + `"}`))
		},
		"GET /api/concerts/{id}": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"id": ` + r.PathValue("id") + `, "cents": 1, "category_name": "opera"}`))
		},
		"GET /api/concerts/{id}/seats": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"seats": 500}`)) },
		"GET /api/categories/{id}/concerts": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`[{"category": ` + r.PathValue("id") + `}]`))
		},
		"PUT /api/concerts/{id}/price":          func(http.ResponseWriter, *http.Request) {},
		"PUT /api/concerts/{id}/notices/{name}": func(http.ResponseWriter, *http.Request) {},
	}
}

// TestTheSessionOfAnotherUserIsAFailure: all other answers are right.
func TestTheSessionOfAnotherUserIsAFailure(t *testing.T) {
	for whose, want := range map[string]string{
		"user-1@example.org": `the session of user-0@example.org is that of "user-1@example.org"`,
		"user-0@example.org": "",
	} {
		var asked atomic.Bool
		answers := rightAnswers()
		answers["GET /api/session"] = func(w http.ResponseWriter, r *http.Request) {
			email := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer t-")
			if email == "user-0@example.org" {
				asked.Store(true)
				email = whose
			}
			_, _ = w.Write([]byte(`{"email": "` + email + `"}`))
		}
		u := service(t, answers)
		running := u.Start(t.Context())
		for !asked.Load() {
			<-time.After(time.Millisecond)
		}
		got := ""
		if r := running.Stop(); r.First != nil {
			got = r.First.Error()
		}
		if got != want {
			t.Errorf("the first failure is %q, want %q", got, want)
		}
	}
}

// TestACrowdWatches: each of the users has one request in flight, and says what it knows.
func TestACrowdWatches(t *testing.T) {
	const crowd = 5
	known, release := make(chan string), make(chan struct{})
	answers := rightAnswers()
	answers["GET /api/concerts/{id}/seats"] = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("sold") {
			known <- r.FormValue("sold")
			<-release
		}
		_, _ = w.Write([]byte(`{"seats": 500, "sold": [7]}`))
	}
	u := service(t, answers)
	running := u.Start(t.Context())
	running.Watch(crowd)
	for _, want := range []string{"", "1"} {
		for range crowd {
			if got := <-known; got != want {
				t.Errorf("a user knows of %q sold seats, want %q", got, want)
			}
		}
		for range crowd {
			release <- struct{}{}
		}
	}
	close(release)
	go func() {
		for range known {
		}
	}()
	if r := running.Stop(); r.Failures > 0 {
		t.Errorf("the report is %+v, want no failure", r)
	}
}
