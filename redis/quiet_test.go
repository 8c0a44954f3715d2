package redis_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

var outageFor = flag.Duration("outage", 4*time.Second, "how long Redis is away in TestADeadRedisIsQuiet; with a minute or more its bounds are strict, and -parallel 3 runs all clients side by side")

// quietClient tells a process of this test binary which client it reads with while
// Redis is away, and quietAddrs where Redis is.
const (
	quietClient = "NEARSIDE_QUIET_CLIENT"
	quietAddrs  = "NEARSIDE_QUIET_ADDRS"
)

// TestADeadRedisIsQuiet counts what a process writes while it goes on reading and Redis
// is away, and measures when hits are served again.
func TestADeadRedisIsQuiet(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"Open", "Client", "ClusterClient"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			var nodes []*redistest.Server
			if client == "ClusterClient" {
				nodes = redistest.StartCluster(t, 3).Nodes()
			} else {
				nodes = []*redistest.Server{redistest.Start(t)}
			}
			var addrs []string
			for _, node := range nodes {
				addrs = append(addrs, node.Addr())
			}
			p := startReaders(t, client, addrs...)
			p.wants(t, "reading")
			for _, node := range nodes { // all at once
				if err := syscall.Kill(node.PID(), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			for _, node := range nodes {
				node.Kill()
			}
			<-time.After(*outageFor)
			for _, node := range nodes {
				node.Restart()
			}
			redistest.Eventually(t, 30*time.Second, "all slots are served", func() bool { return slotsServed(t, nodes) })
			back := time.Now()
			var at int64
			if _, err := fmt.Sscan(p.wants(t, "served"), &at); err != nil {
				t.Fatal(err)
			}
			took, undisturbed := time.Unix(0, at).Sub(back), calm(t, back, away)
			<-time.After(3 * time.Second) // for the line that ends the outage
			lines := p.written()
			t.Logf("away for %v: %d lines, a hit %v after Redis was back", *outageFor, len(lines), took)
			most, within := 3, 300*time.Millisecond
			if *outageFor < time.Minute { // Among all other tests each reader may dial each node before the log's reader can.
				most, within = 3+3*8, 3*time.Second
				if !undisturbed {
					within = soon
				}
			}
			if len(lines) > most {
				t.Errorf("%d lines, want at most %d:\n%s", len(lines), most, strings.Join(lines[:min(len(lines), 40)], "\n"))
			}
			if took > within {
				t.Errorf("a hit %v after Redis was back, want one within %v", took, within)
			}
		})
	}
}

// TestAHandshakeThatFailsIsQuiet counts what a process writes while somebody listens who
// is no Redis, or lets nobody in.
func TestAHandshakeThatFailsIsQuiet(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	server := redistest.Start(t)
	if err := server.Client().ConfigSet(t.Context(), "requirepass", "right").Err(); err != nil {
		t.Fatal(err)
	}
	garbage := quoter(t, func(args []string) string { return "?" + strings.Join(args, " ") })
	for name, url := range map[string]string{
		"HTTP":           "redis://" + web.Listener.Addr().String(),
		"garbage":        "redis://" + garbage,
		"wrong password": "redis://:wrong@" + server.Addr(),
		"no password":    "redis://" + server.Addr(),
		"TLS":            "rediss://" + server.Addr(),
		"no database":    "redis://:right@" + server.Addr() + "/16",
		"no host":        "redis://" + redistest.Refused(t),
	} {
		for _, client := range []string{"URL", "Client of a URL"} {
			t.Run(name+", "+client, func(t *testing.T) {
				t.Parallel()
				p := startReaders(t, client, url)
				redistest.Eventually(t, soon, "the process writes why", func() bool { return len(p.written()) > 0 })
				<-time.After(3 * time.Second)
				if lines := p.written(); len(lines) > 3 {
					t.Errorf("%d lines, want at most 3:\n%s", len(lines), strings.Join(lines[:min(len(lines), 20)], "\n"))
				}
			})
		}
	}
}

// slotsServed reports whether a single server, or every node of a Cluster, can serve.
func slotsServed(t *testing.T, nodes []*redistest.Server) bool {
	for _, node := range nodes {
		info, err := node.Client().ClusterInfo(t.Context()).Result()
		if len(nodes) > 1 && (err != nil || !strings.Contains(info, "cluster_state:ok")) {
			return false
		}
	}
	return true
}

// readers is a process that reads all the time.
type readers struct {
	out    *bufio.Scanner
	mu     sync.Mutex // guards stderr
	stderr bytes.Buffer
}

func startReaders(t *testing.T, client string, addrs ...string) *readers {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &readers{}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), quietClient+"="+client, quietAddrs+"="+strings.Join(addrs, ","))
	cmd.Stderr = p
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		_ = cmd.Wait()
	})
	p.out = bufio.NewScanner(stdout)
	return p
}

func (p *readers) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *readers) written() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.TrimSpace(p.stderr.String())
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// wants returns what follows a word that the process says.
func (p *readers) wants(t *testing.T, word string) string {
	t.Helper()
	p.out.Scan()
	rest, ok := strings.CutPrefix(p.out.Text(), word)
	if !ok {
		t.Fatalf("the process said %q, want %q; it wrote\n%s", p.out.Text(), word, strings.Join(p.written(), "\n"))
	}
	return strings.TrimSpace(rest)
}

// readQuietly is the process: it reads with eight goroutines until its standard input
// ends, says "reading" once there are hits, and "served" and the time with the first hit
// after a time without one.
func readQuietly(client string) error {
	addrs := strings.Split(os.Getenv(quietAddrs), ",")
	o := redis.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	var store *redis.Store
	var err error
	switch client {
	case "Open":
		store, err = redis.Open("redis://"+addrs[0], o)
	case "Client":
		store, err = redis.New(goredis.NewClient(&goredis.Options{Addr: addrs[0]}), o)
	case "URL":
		store, err = redis.Open(addrs[0], o)
	case "Client of a URL":
		var of *goredis.Options
		if of, err = goredis.ParseURL(addrs[0]); err == nil {
			store, err = redis.New(goredis.NewClient(of), o)
		}
	default:
		store, err = redis.New(goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs}), o)
	}
	if err != nil {
		return err
	}
	c, err := cache.New(cache.Options[int, string]{
		Name: "quiet", TTL: time.Hour, Remote: store, Logger: o.Logger,
		Local: local.Options{MaxEntries: 16}, // of 64 keys: most reads go to Redis
	})
	if err != nil {
		return err
	}
	for range 8 {
		go func() {
			for {
				_, _ = c.GetOrLoad(context.Background(), rand.IntN(64), yields[int]("v"))
				<-time.After(500 * time.Microsecond)
			}
		}()
	}
	go sayHits(c)
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, errors.New("the test is over"))
}

func sayHits(c *cache.Cache[int, string]) {
	before, last, reading := uint64(0), time.Now(), false
	for {
		<-time.After(time.Millisecond)
		hits := c.Stats().RemoteHits
		switch silent := time.Since(last); {
		case hits == before:
			continue
		case !reading && hits > 1000:
			reading = true
			fmt.Println("reading")
		case reading && silent > time.Second:
			fmt.Println("served", time.Now().UnixNano())
		}
		before, last = hits, time.Now()
	}
}
