// Package haproxy is a load balancer: HAProxy, one process for each front. Instances are
// added and removed through the admin socket of the process. The configuration file stays the same.
package haproxy

import (
	"context"
	_ "embed" // for the configuration
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
	"github.com/nearside-go/nearside/examples/concert/system/process"
)

const (
	startWithin = 30 * time.Second

	// owner is the user of Debian's package.
	owner = "haproxy"
)

// Program returns the file of HAProxy.
func Program() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} { // Debian's users have no /usr/sbin on their PATH
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", errors.New("no HAProxy is installed (Debian: the package haproxy)")
}

// Balancer is a set of fronts.
type Balancer struct {
	program string

	mu     sync.Mutex // guards fronts
	fronts map[string]*front
}

var _ balancer.Balancer = (*Balancer)(nil)

// New returns a Balancer without fronts.
func New() (*Balancer, error) {
	program, err := Program()
	if err != nil {
		return nil, err
	}
	return &Balancer{program: program, fronts: make(map[string]*front)}, nil
}

// front is a HAProxy, and the instances behind it.
type front struct {
	proc      *process.Process
	dir       string
	instances []string
	removed   []string // that HAProxy has not forgotten yet: each change tries it again
}

// Listen adds a front at addr, and returns its address. A port of 0 is a free one.
func (b *Balancer) Listen(name, addr string) (string, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("the load balancer cannot listen at %s: %w", addr, err)
	}
	defer listener.Close() // HAProxy has inherited it
	f, err := b.start(name, listener.(*net.TCPListener))
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fronts[name] = f
	return listener.Addr().String(), nil
}

//go:embed haproxy.cfg
var config []byte

// start starts a HAProxy that inherits the socket of a front, so that no other process can take
// the port first.
func (b *Balancer) start(name string, listener *net.TCPListener) (f *front, err error) {
	socket, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	f = &front{}
	if f.dir, err = process.Folder(owner); err != nil {
		return nil, err
	}
	file := filepath.Join(f.dir, "haproxy.cfg")
	if err = os.WriteFile(file, config, 0o644); err == nil {
		f.proc, err = process.Program{
			Name: "HAProxy of " + name, File: b.program, Args: []string{"-db", "-f", file}, User: owner,
			Env: []string{
				"CONCERT_ADMIN=" + f.admin(),
				fmt.Sprintf("CONCERT_ANSWER_WITHIN=%dms", balancer.AnswerWithin.Milliseconds()),
			},
			Files: []*os.File{socket},
		}.Start()
	}
	if err == nil {
		err = f.proc.Await(context.Background(), startWithin, func() error { return f.ignore("show info") })
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// Set makes instances, by their addresses, those behind a front. Requests that are under way
// are served to their end.
func (b *Balancer) Set(name string, instances []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.fronts[name]
	if !ok {
		return fmt.Errorf("the load balancer has no front %q", name)
	}
	if err := f.set(instances); err != nil {
		return fmt.Errorf("change the load balancer: %w", err)
	}
	return nil
}

func (f *front) set(instances []string) error {
	for _, addr := range instances {
		if !slices.Contains(f.instances, addr) {
			if err := f.add(addr); err != nil {
				return err
			}
		}
	}
	for _, addr := range slices.Clone(f.instances) {
		if !slices.Contains(instances, addr) {
			if err := f.remove(addr); err != nil {
				return err
			}
		}
	}
	return f.forget()
}

// Close ends all HAProxies.
func (b *Balancer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, f := range b.fronts {
		errs = append(errs, f.close())
	}
	clear(b.fronts)
	return errors.Join(errs...)
}

func (f *front) close() error {
	if f.proc != nil {
		f.proc.Kill()
	}
	return os.RemoveAll(f.dir)
}
