package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// ask reads a path of one instance, not through the load balancer.
func ask(ctx context.Context, i *fleet.Instance, path string, into any) error {
	return call(ctx, i, http.MethodGet, path, "", nil, into)
}

// call sends a request to one instance.
func call(ctx context.Context, i *fleet.Instance, method, path, token string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, i.URL()+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if err := send(req, into); err != nil {
		return fmt.Errorf("%s: %w", i.Name, err)
	}
	return nil
}

// setPrice changes a price on one instance.
func setPrice(ctx context.Context, i *fleet.Instance, concert, cents int64) error {
	return call(ctx, i, http.MethodPut, fmt.Sprintf("/api/concerts/%d/price", concert), "", map[string]any{"Cents": cents}, nil)
}

// showsPrice returns once an instance shows a price, and how long that took.
func showsPrice(ctx context.Context, i *fleet.Instance, concert, cents int64, within time.Duration) (time.Duration, error) {
	return until(ctx, within, fmt.Sprintf("%s shows the price %d of concert %d", i.Name, cents, concert), func() (bool, error) {
		var page service.Page
		err := ask(ctx, i, fmt.Sprintf("/api/concerts/%d", concert), &page)
		return page.Cents == cents, err
	})
}

// until waits until done returns true, and returns how long that took. The error names what.
func until(ctx context.Context, within time.Duration, what string, done func() (bool, error)) (time.Duration, error) {
	begun := time.Now()
	for {
		ok, err := done()
		took := time.Since(begun)
		switch {
		case err != nil:
			return took, err
		case ok:
			return took, nil
		case ctx.Err() != nil:
			return took, ctx.Err()
		case took > within:
			return took, fmt.Errorf("not so after %v: %s", within, what)
		}
		pause(ctx, time.Millisecond)
	}
}

// allReady is nil if each instance is ready.
func (s *Side) allReady(ctx context.Context) error {
	for _, i := range s.Instances() {
		if err := call(ctx, i, http.MethodGet, "/readyz", "", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// read reads a URL as JSON, unless into is nil.
func read(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	return send(req, into)
}

// send sends a request, and decodes the answer as JSON, unless into is nil.
func send(req *http.Request, into any) error {
	resp, err := do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s is answered with %s", req.Method, req.URL.Path, resp.Status)
	}
	if into == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// asked is the key of the context's *atomic.Int64 that counts the requests which a scenario itself
// sends to the service, or to the edge in front of it.
type asked struct{}

// do sends a request, and counts it.
func do(req *http.Request) (*http.Response, error) {
	if n, ok := req.Context().Value(asked{}).(*atomic.Int64); ok && strings.HasPrefix(req.URL.Path, "/api/") {
		n.Add(1)
	}
	return http.DefaultClient.Do(req)
}

// stats returns the counts of an instance.
func stats(ctx context.Context, i *fleet.Instance) (service.Stats, error) {
	var out service.Stats
	err := ask(ctx, i, "/statsz", &out)
	return out, err
}
