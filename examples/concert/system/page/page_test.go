package page_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/page"
)

func serve(t *testing.T) *page.Page {
	t.Helper()
	p, err := page.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func get(t *testing.T, ctx context.Context, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestThePageNeedsNothingElse(t *testing.T) {
	resp := get(t, t.Context(), serve(t).URL())
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, error %v", resp.StatusCode, err)
	}
	for _, other := range []string{"http://", "https://", "src="} {
		if strings.Contains(string(text), other) {
			t.Errorf("the page has %q", other)
		}
	}
	if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("the policy is %q", policy)
	}
}

// TestAWatcherSeesWhatWasAndWhatComes: events and a snapshot of before it came, and of after.
func TestAWatcherSeesWhatWasAndWhatComes(t *testing.T) {
	p := serve(t)
	for range 130 {
		p.Event(page.Step, "earlier")
	}
	p.Show(page.Snapshot{Redis: "away"})
	p.Show(page.Snapshot{Redis: "in use", Plain: page.Side{Busy: true, Queries: 77}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	resp := get(t, ctx, p.URL()+"events")
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("the content type is %q", kind)
	}
	lines := bufio.NewScanner(resp.Body)
	read := func(until string) (events int) {
		for lines.Scan() {
			if lines.Text() == "event: happened" {
				events++
			}
			if strings.Contains(lines.Text(), until) {
				return events
			}
		}
		t.Fatalf("the stream ended before %q: %v", until, lines.Err())
		return 0
	}
	read(`,null,77]]`) // the end of the graph; the side without a value has no users
	if n := read(`"redis":"in use"`); n != 100 {
		t.Errorf("%d earlier events, want the last 100", n)
	}
	p.Event(page.Step, "SIGKILL to <nearside-1>")
	p.Show(page.Snapshot{Cached: page.Side{Instances: []page.Instance{{Name: "nearside-2", State: "ready"}}}})
	if n := read("nearside-2"); n != 1 {
		t.Errorf("%d later events, want 1", n)
	}
}

func TestAPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := page.Serve(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "the page cannot listen at "+l.Addr().String()) {
		t.Errorf("error %v, want a sentence with the address", err)
	}
}
