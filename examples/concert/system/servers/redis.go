package servers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/nearside-go/nearside/examples/concert/system/process"
)

// RedisRole is the name of the role RunMiniredis.
const RedisRole = "redis"

// single is one Redis on a port of the loopback interface.
type single struct {
	ctx  context.Context // ends the wait of Start
	kind string          // for the heading
	addr string
	bin  string           // the file of redis-server; "" is miniredis
	proc *process.Process // the last that was ready; nil before
}

// StartRedis starts the redis-server that is on the PATH, or miniredis. A redis-server is only
// used on Linux, where the kernel ends it with this process. When ctx ends, so does StartRedis, and
// later the wait of the Redis' Start; the Redis runs on until Kill.
func StartRedis(ctx context.Context) (Redis, error) { return startRedis(ctx) }

func startRedis(ctx context.Context) (*single, error) {
	r := &single{ctx: ctx, kind: "miniredis"}
	if bin, err := exec.LookPath("redis-server"); err == nil && runtime.GOOS == "linux" {
		r.bin, r.kind = bin, "redis-server"
	}
	err := process.OnFreeAddr(func(addr string) error {
		r.addr = addr
		return r.Start()
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// URL returns the address for redis.Open.
func (r *single) URL() string { return "redis://" + r.addr + "/0" }

// Start starts Redis, with nothing in it. After an error no Redis runs.
func (r *single) Start() error {
	proc, err := r.launch()
	if err != nil {
		return err
	}
	r.proc = proc
	return nil
}

// launch returns a process that answers.
func (r *single) launch() (*process.Process, error) {
	if r.bin == "" {
		return process.Start(r.ctx, RedisRole, "miniredis", redisConfig{r.addr}, startWithin)
	}
	_, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return nil, err
	}
	p, err := process.Program{Name: "redis-server", File: r.bin, Args: []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}}.Start()
	if err != nil {
		return nil, err
	}
	return p, p.Await(r.ctx, startWithin, func() error { return ping(r.addr) })
}

func ping(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // a failure shows in the read
	_, _ = conn.Write([]byte("PING\r\n"))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && strings.TrimSpace(line) != "+PONG" {
		err = errors.New("PING is answered with " + line)
	}
	return err
}

// Kill kills Redis with SIGKILL: connections are refused until Start. Without a Redis that runs
// it does nothing.
func (r *single) Kill() error {
	if r.proc != nil {
		r.proc.Kill()
	}
	return nil
}

// Hang stops Redis with SIGSTOP: connections are accepted, and nothing is answered.
func (r *single) Hang() error { return r.proc.Hang() }

// Resume ends a Hang.
func (r *single) Resume() error { return r.proc.Resume() }

type redisConfig struct{ Addr string }

// RunMiniredis is the role of a Redis where there is no redis-server.
func RunMiniredis(ctx context.Context, config []byte, ready func(addr string)) error {
	var c redisConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(c.Addr); err != nil {
		return fmt.Errorf("miniredis cannot listen at %s: %w", c.Addr, err)
	}
	defer m.Close()
	ready(m.Addr())
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			m.FastForward(now.Sub(last)) // miniredis' keys expire by this clock only
			last = now
		}
	}
}
