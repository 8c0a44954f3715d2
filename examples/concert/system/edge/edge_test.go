package edge_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
)

// origin answers each path with the number of requests so far.
type origin struct {
	asked atomic.Int64
	hold  chan struct{} // requests of /slow wait for it
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.asked.Add(1)
	switch {
	case r.URL.Path == "/private":
		w.Header().Set("Cache-Control", "no-store")
	case r.URL.Path == "/missing":
		w.Header().Set("Cache-Control", "public, s-maxage=60")
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("Cache-Control", "public, max-age=0, s-maxage=60")
		w.Header().Set("Surrogate-Key", "all page"+strings.ReplaceAll(r.URL.Path, "/", "-"))
	}
	if r.URL.Path == "/slow" {
		o.hold <- struct{}{}
		<-o.hold
	}
	fmt.Fprint(w, n)
}

func start(t *testing.T) (*edge.Cache, *origin) {
	t.Helper()
	o := &origin{hold: make(chan struct{})}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	c, err := edge.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	c.SetOrigin(server.URL)
	return c, o
}

func get(t *testing.T, c *edge.Cache, path string) string {
	t.Helper()
	resp, err := http.Get(c.URL() + path)
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

func TestTheEdgeKeepsWhatItMay(t *testing.T) {
	c, _ := start(t)
	for _, w := range []struct {
		path string
		want string
	}{
		{"/a", "1"}, {"/a", "1"}, {"/b", "2"}, {"/a?x", "3"}, {"/a", "1"},
		{"/private", "4"}, {"/private", "5"}, {"/missing", "6"}, {"/missing", "7"},
	} {
		if got := get(t, c, w.path); got != w.want {
			t.Errorf("%s: answer %s, want %s", w.path, got, w.want)
		}
	}
	if hits, misses := c.Counts(); hits != 2 || misses != 7 {
		t.Errorf("%d hits and %d misses, want 2 and 7", hits, misses)
	}
}

// TestPurgers: both remove what they name, and nothing else.
func TestPurgers(t *testing.T) {
	for name, purger := range map[string]func(*edge.Cache) edge.Purger{
		"Keys": func(c *edge.Cache) edge.Purger { return edge.Keys{URL: c.URL()} },
		"CloudFront": func(c *edge.Cache) edge.Purger {
			return edge.CloudFront{URL: c.URL(), Distribution: "E1", Paths: func(tag string) []string {
				if tag == "all" {
					return []string{"/*"}
				}
				return []string{"/" + strings.TrimPrefix(tag, "page-")}
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := start(t)
			p := purger(c)
			a, b := get(t, c, "/a"), get(t, c, "/b")
			if err := p.Purge(t.Context(), "page-a", "page-z"); err != nil {
				t.Fatal(err)
			}
			if got := get(t, c, "/a"); got == a {
				t.Errorf("/a is still %s after its purge", got)
			}
			if got := get(t, c, "/b"); got != b {
				t.Errorf("/b is %s after the purge of /a, want %s", got, b)
			}
			if err := p.Purge(t.Context(), "all"); err != nil {
				t.Fatal(err)
			}
			if got := get(t, c, "/b"); got == b {
				t.Errorf("/b is still %s after the purge of all", got)
			}
		})
	}
}

// TestAnAnswerThatIsOlderThanAPurgeIsNotKept: the origin answers before the purge, and the edge
// has the answer after it.
func TestAnAnswerThatIsOlderThanAPurgeIsNotKept(t *testing.T) {
	c, o := start(t)
	answer := make(chan string)
	go func() {
		resp, err := http.Get(c.URL() + "/slow")
		if err != nil {
			t.Error(err)
			answer <- ""
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-o.hold
	if err := (edge.Keys{URL: c.URL()}).Purge(t.Context(), "page-slow"); err != nil {
		t.Fatal(err)
	}
	o.hold <- struct{}{}
	if got := <-answer; got != "1" {
		t.Errorf("answer %s, want the first", got)
	}
	go func() { <-o.hold; o.hold <- struct{}{} }()
	if got := get(t, c, "/slow"); got != "2" {
		t.Errorf("answer %s after the purge, want the second", got)
	}
}

func TestAnEdgeThatRefuses(t *testing.T) {
	refusing := httptest.NewServer(http.NotFoundHandler())
	defer refusing.Close()
	for name, p := range map[string]edge.Purger{
		"Keys":       edge.Keys{URL: refusing.URL},
		"CloudFront": edge.CloudFront{URL: refusing.URL, Paths: func(string) []string { return []string{"/a"} }},
	} {
		if err := p.Purge(context.Background(), "a"); err == nil || !strings.Contains(err.Error(), "purge the edge: 404") {
			t.Errorf("%s: error %v, want one with 404", name, err)
		}
	}
}
