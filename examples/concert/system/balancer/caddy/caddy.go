// Package caddy is a load balancer: Caddy, as a library.
package caddy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
)

const (
	checkTimeout = 150 * time.Millisecond

	// tryFor is for how long a request is tried on one instance after the other.
	tryFor = 5 * time.Second

	// settle is how long a configuration goes on after the next one has taken over: time to
	// read the requests of the connections that it has accepted.
	settle = 50 * time.Millisecond

	// maxBody is how many bytes of a request are kept, to be sent again.
	maxBody = 64 << 10
)

// Balancer is the one Caddy of a process.
type Balancer struct {
	mu     sync.Mutex // guards fronts
	fronts map[string]front
}

// front is a socket, and the instances behind it.
type front struct {
	socket    *socket
	instances []string
}

// New returns a Balancer without fronts.
func New() *Balancer { return &Balancer{fronts: make(map[string]front)} }

// Listen adds a front at addr, and returns its address. A port of 0 is a free one.
func (b *Balancer) Listen(name, addr string) (string, error) {
	s, err := sockets.listen(addr)
	if err != nil {
		return "", fmt.Errorf("the load balancer cannot listen at %s: %w", addr, err)
	}
	err = b.change(name, func(f *front) { f.socket = s })
	if err != nil {
		return "", errors.Join(err, sockets.shut(s))
	}
	return s.Addr().String(), nil
}

// Set makes instances, by their addresses, those behind a front. Requests that are under way
// are served to their end.
func (b *Balancer) Set(name string, instances []string) error {
	return b.change(name, func(f *front) { f.instances = slices.Clone(instances) })
}

func (b *Balancer) change(name string, how func(*front)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, existed := b.fronts[name]
	f := before
	how(&f)
	b.fronts[name] = f
	config, err := json.Marshal(b.configLocked())
	if err == nil {
		err = caddy.Load(config, false)
	}
	if err != nil {
		if b.fronts[name] = before; !existed {
			delete(b.fronts, name)
		}
		return fmt.Errorf("change the load balancer: %w", err)
	}
	return nil
}

// Close ends Caddy, and closes all fronts.
func (b *Balancer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := []error{caddy.Stop()}
	for _, f := range b.fronts {
		errs = append(errs, sockets.shut(f.socket))
	}
	clear(b.fronts)
	return errors.Join(errs...)
}

type object = map[string]any

func (b *Balancer) configLocked() object {
	servers := object{}
	for _, name := range slices.Sorted(maps.Keys(b.fronts)) {
		f := b.fronts[name]
		servers[name] = object{
			"listen":          []string{network + "/" + f.socket.Addr().String()},
			"automatic_https": object{"disable": true},
			"protocols":       []string{"h1"},
			"routes":          []object{{"handle": []object{f.proxy()}}},
		}
	}
	return object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"level": "PANIC"}}},
		"apps": object{"http": object{
			"shutdown_delay": int64(settle), "grace_period": int64(time.Second), "servers": servers,
		}},
	}
}

func (f front) proxy() object {
	upstreams := []object{}
	for _, addr := range f.instances {
		upstreams = append(upstreams, object{"dial": addr})
	}
	return object{
		"handler":         handler,
		"upstreams":       upstreams,
		"request_buffers": maxBody,
		"transport": object{
			"protocol":                "http",
			"dial_timeout":            int64(balancer.AnswerWithin),
			"response_header_timeout": int64(balancer.AnswerWithin),
			"keep_alive":              object{"max_idle_conns_per_host": 64},
		},
		"load_balancing": object{
			"selection_policy": object{"policy": "least_conn"},
			"try_duration":     int64(tryFor),
			"try_interval":     int64(5 * time.Millisecond),
			// Only requests that may be carried out twice are sent again after an instance has
			// received them.
			"retry_match": []object{{"method": []string{"GET", "HEAD", "PUT", "DELETE"}}},
		},
		"health_checks": object{
			"active": object{
				"uri":           "/readyz",
				"interval":      int64(balancer.CheckEvery),
				"timeout":       int64(checkTimeout),
				"expect_status": 200,
				"fails":         1,
				"passes":        1,
			},
			"passive": object{"max_fails": 1, "fail_duration": int64(500 * time.Millisecond)},
		},
		"headers": object{"response": object{"set": object{
			"X-Instance": []string{"{http.reverse_proxy.upstream.hostport}"},
		}}},
	}
}
