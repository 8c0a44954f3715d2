// Package edgetest has the tests of a cache at the edge.
package edgetest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
)

// Servers are caches at the edge to be tested.
type Servers struct {
	// Start starts a Server. The tests close it.
	Start func(t *testing.T, origin string) edge.Server

	// Purgers make the Purgers that a Server at a URL has, by name.
	Purgers map[string]func(url string) edge.Purger
}

// Run tests a cache at the edge.
func Run(t *testing.T, s Servers) {
	t.Run("it keeps what it may", s.itKeepsWhatItMay)
	for name, purger := range s.Purgers {
		t.Run(name, func(t *testing.T) { s.itIsPurged(t, purger) })
	}
}

// Origin answers each path with the number of requests so far.
type Origin struct{ asked atomic.Int64 }

func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.asked.Add(1)
	switch r.URL.Path {
	case "/private":
		w.Header().Set("Cache-Control", "no-store")
	case "/missing":
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("Cache-Control", "public, max-age=0, s-maxage=60")
		w.Header().Set("Surrogate-Key", "all page"+strings.ReplaceAll(r.URL.Path, "/", "-"))
	}
	fmt.Fprint(w, n)
}

func (s Servers) start(t *testing.T) edge.Server {
	t.Helper()
	origin := httptest.NewServer(&Origin{})
	t.Cleanup(origin.Close)
	server := s.Start(t, origin.URL)
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Get returns the answer to a path.
func Get(t *testing.T, s edge.Server, path string) string {
	t.Helper()
	resp, err := http.Get(s.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (s Servers) itKeepsWhatItMay(t *testing.T) {
	server := s.start(t)
	hits, misses, err := server.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		path string
		want string
	}{
		{"/a", "1"}, {"/a", "1"}, {"/b", "2"}, {"/a?x", "3"}, {"/a", "1"},
		{"/private", "4"}, {"/private", "5"}, {"/missing", "6"}, {"/missing", "7"},
	} {
		if got := Get(t, server, w.path); got != w.want {
			t.Errorf("%s: answer %s, want %s", w.path, got, w.want)
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C { // the counts may come a moment later
		nowHits, nowMisses, err := server.Counts(t.Context())
		if err == nil && nowHits-hits == 2 && nowMisses-misses == 7 {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%d hits and %d misses, error %v, want 2 and 7", nowHits-hits, nowMisses-misses, err)
		}
	}
}

// itIsPurged: a Purger removes what it names, and nothing else.
func (s Servers) itIsPurged(t *testing.T, purger func(url string) edge.Purger) {
	server := s.start(t)
	p := purger(server.URL())
	a, ab, b := Get(t, server, "/a"), Get(t, server, "/a-b"), Get(t, server, "/b")
	if err := p.Purge(t.Context(), "page-a", "page-z"); err != nil {
		t.Fatal(err)
	}
	if got := Get(t, server, "/a"); got == a {
		t.Errorf("/a is still %s after its purge", got)
	}
	for path, want := range map[string]string{"/a-b": ab, "/b": b} {
		if got := Get(t, server, path); got != want {
			t.Errorf("%s is %s after the purge of /a, want %s", path, got, want)
		}
	}
	if err := p.Purge(t.Context(), "all"); err != nil {
		t.Fatal(err)
	}
	if got := Get(t, server, "/b"); got == b {
		t.Errorf("/b is still %s after the purge of all", got)
	}
}
