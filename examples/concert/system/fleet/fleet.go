// Package fleet runs the instances of a service behind a load balancer, as an orchestrator
// would: it starts instances, waits until they are ready, replaces them, and lets them drain
// before they end.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

const (
	// Role is the name of the role service.Run.
	Role = "instance"

	// statsWithin is the timeout of a request for the counts of an instance.
	statsWithin = 200 * time.Millisecond

	readyWithin = 20 * time.Second
	endWithin   = 10 * time.Second
)

// Fleet is a service of several instances. It is safe for concurrent use.
type Fleet struct {
	Name string
	URL  string // of its front at the load balancer

	config   service.Config
	balancer balancer.Balancer

	mu        sync.Mutex  // guards all below
	instances []*Instance // behind the load balancer
	all       []*Instance // that run, those that are not behind the load balancer, too
	started   int
}

// Instance is a process of the service.
type Instance struct {
	*process.Process
	Version int
}

// URL returns the address of the instance itself.
func (i *Instance) URL() string { return "http://" + i.Addr }

// New returns a Fleet without instances, behind the front of b that has its name and is at a
// URL. The instances get config, with a name and a version of their own.
func New(name, url string, config service.Config, b balancer.Balancer) *Fleet {
	return &Fleet{Name: name, URL: url, config: config, balancer: b}
}

// Instances returns the instances behind the load balancer.
func (f *Fleet) Instances() []*Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.instances)
}

// Start starts an instance that is not behind the load balancer yet. ctx bounds the start, not the
// life of the instance.
func (f *Fleet) Start(ctx context.Context, version int, change func(*service.Config)) (*Instance, error) {
	f.mu.Lock()
	f.started++
	config := f.config
	config.Version, config.Name = version, fmt.Sprintf("%s-%d", f.Name, f.started)
	f.mu.Unlock()
	if change != nil {
		change(&config)
	}
	p, err := process.Start(ctx, Role, config.Name, config, readyWithin)
	if err != nil {
		return nil, err
	}
	i := &Instance{p, version}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(slices.DeleteFunc(f.all, func(i *Instance) bool { return !i.Alive() }), i)
	return i, nil
}

// Ready waits until an instance is ready, by its /readyz.
func (i *Instance) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	last := ""
	for {
		text, ok := i.readiness(ctx)
		if ok {
			return nil
		}
		if text != "" {
			last = text
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %s", i.Name, last)
		case <-i.Done():
			return fmt.Errorf("%s ended before it was ready: %s", i.Name, i.Output())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// readiness returns the answer of the instance at /readyz.
func (i *Instance) readiness(ctx context.Context) (text string, ok bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL()+"/readyz", nil)
	if err != nil {
		return err.Error(), false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return strings.TrimSpace(string(body)), resp.StatusCode == http.StatusOK
}

// Stats returns the counts of the instance.
func (i *Instance) Stats(ctx context.Context) (out service.Stats, err error) {
	ctx, cancel := context.WithTimeout(ctx, statsWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL()+"/statsz", nil)
	if err != nil {
		return out, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, json.NewDecoder(resp.Body).Decode(&out)
}

// Add starts n instances of a version, side by side, and puts them behind the load balancer
// once they are ready.
func (f *Fleet) Add(ctx context.Context, version, n int) ([]*Instance, error) {
	added, err := f.StartReady(ctx, version, n)
	if err != nil {
		return nil, err
	}
	return added, f.change(func(old []*Instance) []*Instance { return append(old, added...) })
}

// StartReady starts n instances of a version, side by side, and waits until they are ready.
// They are not behind the load balancer yet.
func (f *Fleet) StartReady(ctx context.Context, version, n int) ([]*Instance, error) {
	added, errs := make([]*Instance, n), make([]error, n)
	var starts sync.WaitGroup
	for k := range n {
		starts.Go(func() {
			if added[k], errs[k] = f.Start(ctx, version, nil); errs[k] == nil {
				errs[k] = added[k].Ready(ctx)
			}
		})
	}
	starts.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, i := range added {
			if i != nil {
				i.Kill()
			}
		}
		return nil, err
	}
	return added, nil
}

// Switch puts instances behind the load balancer, in place of those that were. It returns
// those.
func (f *Fleet) Switch(to []*Instance) (was []*Instance, err error) {
	err = f.change(func(old []*Instance) []*Instance {
		was = old
		return slices.Clone(to)
	})
	return was, err
}

// End lets instances drain and end, side by side, and takes them from the load balancer. While
// an instance drains, the load balancer finds that it is not ready.
func (f *Fleet) End(instances ...*Instance) error {
	errs := make([]error, len(instances))
	var ends sync.WaitGroup
	for k, i := range instances {
		ends.Go(func() { errs[k] = i.End(endWithin) })
	}
	ends.Wait()
	return errors.Join(append(errs, f.Forget(instances...))...)
}

// Scale starts instances of the version of the others, or ends the newest, until there are n.
func (f *Fleet) Scale(ctx context.Context, n int) error {
	now := f.Instances()
	if more := n - len(now); more > 0 {
		_, err := f.Add(ctx, now[0].Version, more)
		return err
	}
	return f.End(now[n:]...)
}

// Forget takes instances from the load balancer.
func (f *Fleet) Forget(instances ...*Instance) error {
	return f.change(func(old []*Instance) []*Instance {
		return slices.DeleteFunc(slices.Clone(old), func(i *Instance) bool { return slices.Contains(instances, i) })
	})
}

// Roll replaces each instance by one of a version, one after the other: the new one is ready
// before the old one drains. between is called while both serve.
func (f *Fleet) Roll(ctx context.Context, version int, between func(old, next *Instance) error) error {
	for _, old := range f.Instances() {
		next, err := f.Add(ctx, version, 1)
		if err != nil {
			return err
		}
		if err := between(old, next[0]); err != nil {
			return err
		}
		if err := f.End(old); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) change(how func([]*Instance) []*Instance) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := how(f.instances)
	addrs := make([]string, len(next))
	for k, i := range next {
		addrs[k] = i.Addr
	}
	if err := f.balancer.Set(f.Name, addrs); err != nil {
		return err
	}
	f.instances = next
	return nil
}

// Kill ends all instances at once, whether they are behind the load balancer or not. Start must
// not be called any more.
func (f *Fleet) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.all {
		i.Kill()
	}
}
