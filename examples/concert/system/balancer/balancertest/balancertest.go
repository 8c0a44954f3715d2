// Package balancertest has the tests of a load balancer.
package balancertest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
)

// backend is an instance that answers with its name.
type backend struct {
	*httptest.Server
	notReady atomic.Bool
	served   atomic.Int64
}

func newBackend(t *testing.T, name string, serve http.HandlerFunc) *backend {
	b := &backend{}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if b.notReady.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		b.served.Add(1)
		if serve != nil {
			serve(w, r)
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", name, body)
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) addr() string { return b.Listener.Addr().String() }

// suite tests the load balancers that start returns.
type suite struct {
	start func(*testing.T) balancer.Balancer
}

// Run tests the load balancers that start returns. The suite closes them.
func Run(t *testing.T, start func(*testing.T) balancer.Balancer) {
	s := suite{start}
	for name, test := range map[string]func(*testing.T){
		"Another instance answers":                       s.anotherInstanceAnswers,
		"A post is not sent twice":                       s.aPostIsNotSentTwice,
		"An instance that is not ready gets no requests": s.anInstanceThatIsNotReadyGetsNoRequests,
		"Instances change under load":                    s.instancesChangeUnderLoad,
		"A request outlives its configuration":           s.aRequestOutlivesItsConfiguration,
		"A port that is taken":                           s.aPortThatIsTaken,
	} {
		t.Run(name, test)
	}
}

// front returns a front with backends behind it.
func (s suite) front(t *testing.T, addrs ...string) (balancer.Balancer, string) {
	t.Helper()
	b := s.start(t)
	addr, err := b.Listen("test", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := b.Set("test", addrs); err != nil {
		t.Fatal(err)
	}
	return b, "http://" + addr
}

func send(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// refusing returns an address that refuses connections.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s suite) anotherInstanceAnswers(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, addr := range map[string]string{
		"one refuses": refusing(t),
		"one hangs":   newBackend(t, "bad", hang).addr(),
		"one aborts":  newBackend(t, "bad", abort).addr(),
	} {
		t.Run(name, func(t *testing.T) {
			_, url := s.front(t, addr, newBackend(t, "good", nil).addr())
			for range 4 {
				for _, method := range []string{http.MethodGet, http.MethodPut} {
					if status, answer := send(t, method, url, "twice"); status != 200 || answer != "good twice" {
						t.Errorf("%s: status %d, %q", method, status, answer)
					}
				}
			}
		})
	}
}

// aPostIsNotSentTwice: an instance may have carried it out.
func (s suite) aPostIsNotSentTwice(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	a, b := newBackend(t, "a", abort), newBackend(t, "b", abort)
	_, url := s.front(t, a.addr(), b.addr())
	if status, _ := send(t, http.MethodPost, url, "once"); status != http.StatusBadGateway {
		t.Errorf("status %d, want 502", status)
	}
	if n := a.served.Load() + b.served.Load(); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

func (s suite) anInstanceThatIsNotReadyGetsNoRequests(t *testing.T) {
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	_, url := s.front(t, a.addr(), b.addr())
	a.notReady.Store(true)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for row := 0; row < 20; <-tick.C { // a row of requests that all went to b
		before := a.served.Load()
		send(t, http.MethodGet, url, "")
		if row++; a.served.Load() > before {
			row = 0
		}
	}
}

func (s suite) instancesChangeUnderLoad(t *testing.T) {
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	lb, url := s.front(t, a.addr())
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			resp, err := http.Get(url)
			if err == nil && resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
			if err != nil {
				done <- err
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}()
	for range 10 {
		for _, addr := range []string{b.addr(), a.addr()} {
			if err := lb.Set("test", []string{addr}); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("a request failed while the instances changed: %v", err)
	}
}

// aRequestOutlivesItsConfiguration: an instance hangs, and the configuration changes before
// the balancer sends its requests to another instance.
func (s suite) aRequestOutlivesItsConfiguration(t *testing.T) {
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	hung := newBackend(t, "hung", func(_ http.ResponseWriter, r *http.Request) {
		begin()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
	good := newBackend(t, "good", nil)
	lb, url := s.front(t, hung.addr(), good.addr())
	var requests sync.WaitGroup
	defer requests.Wait()
	ask := func() {
		resp, err := http.Get(url)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("status %d, %q, error %v", resp.StatusCode, text, err)
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for range 10 {
		requests.Go(ask)
	}
	for hangs := false; !hangs; {
		select {
		case <-begun:
			hangs = true
		case <-tick.C: // the balancer may have drawn the other instance for all requests
			requests.Go(ask)
		case <-end:
			t.Fatal("no request was sent to the instance that hangs")
		}
	}
	if err := lb.Set("test", []string{good.addr()}); err != nil {
		t.Error(err)
	}
}

func (s suite) aPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := s.start(t)
	defer b.Close()
	_, err = b.Listen("test", l.Addr().String())
	if want := "the load balancer cannot listen at " + l.Addr().String(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}
