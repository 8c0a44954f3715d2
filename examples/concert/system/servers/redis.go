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

// Redis is a Redis on a port of the loopback interface that can be killed, hung and started
// again. Its methods are for one goroutine.
type Redis struct {
	Server string // the kind of server, for the heading

	addr string
	bin  string // the file of redis-server; "" is miniredis
	proc *process.Process
}

// StartRedis starts the redis-server that is on the PATH, or miniredis. A redis-server is only
// used on Linux, where the kernel ends it with this process.
func StartRedis() (*Redis, error) {
	r := &Redis{Server: "miniredis"}
	if bin, err := exec.LookPath("redis-server"); err == nil && runtime.GOOS == "linux" {
		r.bin, r.Server = bin, "redis-server"
	}
	var err error
	for range 10 { // another process may take the port first
		if r.addr, err = freeAddr(); err != nil {
			return nil, err
		}
		if err = r.Start(); err == nil {
			return r, nil
		}
	}
	return nil, err
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// URL returns the address for redis.Open.
func (r *Redis) URL() string { return "redis://" + r.addr + "/0" }

// Start starts Redis, with nothing in it.
func (r *Redis) Start() error {
	var err error
	if r.bin == "" {
		r.proc, err = process.Start(RedisRole, "miniredis", redisConfig{r.addr}, startWithin)
		return err
	}
	_, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return err
	}
	r.proc, err = process.Run("redis-server", r.bin, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err != nil {
		return err
	}
	return r.await()
}

// await returns when Redis answers.
func (r *Redis) await() error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if !r.proc.Alive() {
			return fmt.Errorf("redis-server ended: %s", r.proc.Output())
		}
		if ping(r.addr) {
			return nil
		}
	}
	r.proc.Kill()
	return errors.New("redis-server does not answer")
}

func ping(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // a failure shows in the read
	_, _ = conn.Write([]byte("PING\r\n"))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line) == "+PONG"
}

// Kill kills Redis with SIGKILL: connections are refused until Start.
func (r *Redis) Kill() { r.proc.Kill() }

// Hang stops Redis with SIGSTOP: connections are accepted, and nothing is answered.
func (r *Redis) Hang() error { return r.proc.Hang() }

// Resume ends a Hang.
func (r *Redis) Resume() error { return r.proc.Resume() }

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
