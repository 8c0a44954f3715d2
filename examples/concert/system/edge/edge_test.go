package edge_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/edge/edgetest"
)

func TestTheStandIn(t *testing.T) {
	edgetest.Run(t, edgetest.Servers{
		Start: func(t *testing.T, origin string) edge.Server { return serve(t, origin) },
		Purgers: map[string]func(string) edge.Purger{
			"Keys": func(url string) edge.Purger { return edge.Keys{URL: url} },
			"CloudFront": func(url string) edge.Purger {
				return edge.CloudFront{URL: url, Distribution: "E1", Paths: func(tag string) []string {
					if tag == "all" {
						return []string{"/*"}
					}
					return []string{"/" + strings.TrimPrefix(tag, "page-")}
				}}
			},
		},
	})
}

func serve(t *testing.T, origin string) *edge.Cache {
	t.Helper()
	c, err := edge.Serve(origin)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAnAnswerThatIsOlderThanAPurgeIsNotKept: the origin answers before the purge, and the edge
// has the answer after it.
func TestAnAnswerThatIsOlderThanAPurgeIsNotKept(t *testing.T) {
	hold := make(chan struct{})
	var answers edgetest.Origin
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hold <- struct{}{}
		<-hold
		answers.ServeHTTP(w, r)
	}))
	defer origin.Close()
	c := serve(t, origin.URL)
	defer c.Close()
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
	<-hold
	if err := (edge.Keys{URL: c.URL()}).Purge(t.Context(), "page-slow"); err != nil {
		t.Fatal(err)
	}
	hold <- struct{}{}
	if got := <-answer; got != "1" {
		t.Errorf("answer %s, want the first", got)
	}
	go func() { <-hold; hold <- struct{}{} }()
	if got := edgetest.Get(t, c, "/slow"); got != "2" {
		t.Errorf("answer %s after the purge, want the second", got)
	}
}

func TestAnEdgeThatRefuses(t *testing.T) {
	refusing := httptest.NewServer(http.NotFoundHandler())
	defer refusing.Close()
	for name, p := range map[string]edge.Purger{
		"Keys":       edge.Keys{URL: refusing.URL},
		"Bans":       edge.Bans{URL: refusing.URL},
		"CloudFront": edge.CloudFront{URL: refusing.URL, Paths: func(string) []string { return []string{"/a"} }},
	} {
		if err := p.Purge(context.Background(), "a"); err == nil || !strings.Contains(err.Error(), "purge the edge: 404") {
			t.Errorf("%s: error %v, want one with 404", name, err)
		}
	}
}
