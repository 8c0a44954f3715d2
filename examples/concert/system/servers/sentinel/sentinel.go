// Package sentinel runs a Redis with a replica, and three Sentinels that make the replica the
// primary when the primary is gone.
package sentinel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/examples/concert/system/process"
)

const (
	startWithin = 30 * time.Second

	// agreeWithin is how soon the Sentinels agree after a server has gone or has come back, on a
	// busy machine. A primary that comes back is made a replica after 8 s.
	agreeWithin = 40 * time.Second

	// downAfter is how long a primary may be silent before a Sentinel takes it for dead. It is more
	// than the scenario hangs it for, on a busy machine.
	downAfter = 3 * time.Second

	// retryAfter is how long Sentinels wait before they try a failover once more.
	retryAfter = 2 * time.Second

	// owner is the user of Debian's package.
	owner = "redis"

	master = "concert" // by which the Sentinels name the primary
)

// Program returns the file of redis-server, which is a Sentinel, too.
func Program() (string, error) {
	file, err := exec.LookPath("redis-server")
	if err != nil {
		return "", errors.New("no Redis is installed (Debian: the package redis-server)")
	}
	return file, nil
}

// Group is a primary, a replica and three Sentinels, on ports of the loopback interface. Its
// methods are for one goroutine.
type Group struct {
	ctx          context.Context // ends the waits
	program, dir string
	servers      [2]*node
	sentinels    [3]*node
	gone         *node // the primary that was killed or hung last
}

// node is a process of a Group.
type node struct {
	addr string
	proc *process.Process // the last that was ready; nil before
}

// Start starts a Group, and returns when the Sentinels know all of it. When ctx ends, so does Start,
// and later each wait of the Group's methods; the processes run on until Close.
func Start(ctx context.Context) (g *Group, err error) {
	g = &Group{ctx: ctx}
	if g.program, err = Program(); err != nil {
		return nil, err
	}
	if g.dir, err = process.Folder(owner); err != nil {
		return nil, err
	}
	if err = process.OnFreeAddrs(len(g.servers)+len(g.sentinels), g.start); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// start starts all processes. After an error none runs.
func (g *Group) start(addrs []string) (err error) {
	defer func() {
		if err != nil {
			g.kill()
		}
	}()
	for k := range g.servers {
		g.servers[k] = &node{addr: addrs[k]}
		primary := ""
		if k > 0 {
			primary = addrs[0]
		}
		if err := g.startServer(g.servers[k], primary); err != nil {
			return err
		}
	}
	for k := range g.sentinels {
		g.sentinels[k] = &node{addr: addrs[len(g.servers)+k]}
		if err := g.startSentinel(g.sentinels[k], addrs[0]); err != nil {
			return err
		}
	}
	return g.settle()
}

// startServer starts a server, as a replica unless primary is "".
func (g *Group) startServer(n *node, primary string) error {
	host, port, err := net.SplitHostPort(n.addr)
	if err != nil {
		return err
	}
	args := []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", g.dir, "--repl-diskless-sync-delay", "0"}
	if primary != "" {
		args = append(args, "--replicaof", strings.Replace(primary, ":", " ", 1))
	}
	return g.run(n, "redis-server", args...)
}

func (g *Group) startSentinel(n *node, primary string) error {
	host, port, err := net.SplitHostPort(n.addr)
	if err != nil {
		return err
	}
	quorum := len(g.sentinels)/2 + 1
	config := fmt.Sprintf("bind %s\nport %s\ndir %s\nsentinel monitor %s %s %d\nsentinel down-after-milliseconds %[4]s %[7]d\nsentinel failover-timeout %[4]s %[8]d\n",
		host, port, g.dir, master, strings.Replace(primary, ":", " ", 1), quorum, downAfter.Milliseconds(), retryAfter.Milliseconds())
	file := filepath.Join(g.dir, "sentinel-"+port+".conf")
	err = os.WriteFile(file, []byte(config), 0o600)
	if err := errors.Join(err, os.Chmod(file, 0o666)); err != nil { // a Sentinel writes it, in a folder that others cannot enter
		return err
	}
	return g.run(n, "Sentinel", file, "--sentinel")
}

func (g *Group) run(n *node, name string, args ...string) error {
	p, err := process.Program{Name: name, File: g.program, Args: args, User: owner}.Start()
	if err != nil {
		return err
	}
	err = p.Await(g.ctx, startWithin, func() error {
		return n.do(func(ctx context.Context, c *goredis.Client) error { return c.Ping(ctx).Err() })
	})
	if err == nil {
		n.proc = p
	}
	return err
}

// do calls f with a client of the node.
func (n *node) do(f func(context.Context, *goredis.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c := goredis.NewClient(&goredis.Options{Addr: n.addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer c.Close()
	return f(ctx, c)
}

// URL returns the address for redis.Open.
func (g *Group) URL() string {
	addrs := make([]string, len(g.sentinels))
	for k, n := range g.sentinels {
		addrs[k] = n.addr
	}
	return "redis://" + addrs[0] + "?" + url.Values{"master_name": {master}, "addr": addrs[1:]}.Encode()
}

// Kill kills the primary with SIGKILL.
func (g *Group) Kill() error {
	if err := g.choose(); err != nil {
		return err
	}
	g.gone.proc.Kill()
	return nil
}

// choose makes the primary the one that is gone next.
func (g *Group) choose() (err error) {
	if err = g.settle(); err == nil {
		g.gone, err = g.primary()
	}
	return err
}

// AwaitPromotion returns when the replica of the primary that was killed is the primary.
func (g *Group) AwaitPromotion() error {
	return g.await("a Sentinel has promoted the replica", func() error {
		now, err := g.primary()
		if err != nil {
			return err
		}
		if now == g.gone {
			return errors.New("it has not")
		}
		return now.replicates("role:master")
	})
}

// Start starts the server that was killed, as the replica of the other one.
func (g *Group) Start() error {
	primary, err := g.primary()
	if err != nil {
		return err
	}
	if err := g.startServer(g.gone, primary.addr); err != nil {
		return err
	}
	return g.settle()
}

// Hang stops the primary with SIGSTOP. If that lasts, the replica is promoted.
func (g *Group) Hang() error {
	if err := g.choose(); err != nil {
		return err
	}
	return g.gone.proc.Hang()
}

// Resume ends a Hang.
func (g *Group) Resume() error { return g.gone.proc.Resume() }

// Close ends all processes.
func (g *Group) Close() error {
	g.kill()
	return os.RemoveAll(g.dir)
}

func (g *Group) kill() {
	for _, n := range append(g.sentinels[:], g.servers[:]...) {
		if n != nil && n.proc != nil {
			n.proc.Kill()
		}
	}
}
