// Package varnish is a cache at the edge: Varnish, which both edge.Keys and edge.Bans can purge.
package varnish

import (
	"context"
	_ "embed" // for the configuration
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/process"
)

const (
	startWithin = time.Minute // Varnish compiles its configuration with a C compiler
	endWithin   = 10 * time.Second

	// owner is the user of Debian's package.
	owner = "vcache"
)

// Programs returns the files of Varnish, and of the program that shows its counts.
func Programs() (varnishd, varnishstat string, err error) {
	varnishd, err = exec.LookPath("varnishd")
	if err != nil {
		varnishd, err = exec.LookPath("/usr/sbin/varnishd") // Debian's users have no /usr/sbin on their PATH
	}
	if err == nil {
		varnishstat, err = exec.LookPath("varnishstat")
	}
	if err != nil {
		return "", "", errors.New("no Varnish is installed (Debian: the packages varnish and varnish-modules)")
	}
	return varnishd, varnishstat, nil
}

// Server is a Varnish on a port of the loopback interface.
type Server struct {
	addr, dir   string
	varnishstat string
	proc        *process.Process
}

var _ edge.Server = (*Server)(nil)

//go:embed edge.vcl
var config string

// Start starts a Server for the origin at a URL.
func Start(ctx context.Context, origin string) (*Server, error) {
	varnishd, varnishstat, err := Programs()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("read the URL of the origin: %w", err)
	}
	s := &Server{varnishstat: varnishstat}
	if s.dir, err = process.Folder(owner); err != nil {
		return nil, err
	}
	text := strings.NewReplacer("ORIGIN_HOST", u.Hostname(), "ORIGIN_PORT", u.Port()).Replace(config)
	if err = os.WriteFile(s.vcl(), []byte(text), 0o644); err == nil {
		err = process.OnFreeAddr(func(addr string) error { return s.start(ctx, varnishd, addr) })
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) vcl() string  { return filepath.Join(s.dir, "edge.vcl") }
func (s *Server) work() string { return filepath.Join(s.dir, "work") }

func (s *Server) start(ctx context.Context, varnishd, addr string) (err error) {
	s.addr = addr
	s.proc, err = process.Program{
		Name: "Varnish", File: varnishd, User: owner,
		Args: []string{
			"-F", "-j", "none", "-T", "none", "-n", s.work(), "-a", addr, "-f", s.vcl(), "-s", "malloc,64m",
			// A thread adds its counts to the others' as soon as it has answered a request.
			"-p", "thread_stats_rate=0", "-p", "timeout_linger=0",
		},
	}.Start()
	if err != nil {
		return err
	}
	return s.proc.Await(ctx, startWithin, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return edge.Keys{URL: s.URL()}.Purge(ctx, "none")
	})
}

// URL returns the address of the Server.
func (s *Server) URL() string { return "http://" + s.addr }

// Counts returns how many requests the Server has answered by itself, and how many it has asked
// the origin for.
func (s *Server) Counts(ctx context.Context) (hits, misses int, err error) {
	stat := exec.CommandContext(ctx, s.varnishstat, "-n", s.work(), "-j", "-f", "MAIN.cache_hit", "-f", "MAIN.cache_miss")
	text, err := stat.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("count the hits of Varnish: %w", err)
	}
	var counts struct {
		Counters map[string]struct{ Value int }
	}
	if err := json.Unmarshal(text, &counts); err != nil {
		return 0, 0, fmt.Errorf("count the hits of Varnish: %w", err)
	}
	return counts.Counters["MAIN.cache_hit"].Value, counts.Counters["MAIN.cache_miss"].Value, nil
}

// Close ends the Server, and removes its folder.
func (s *Server) Close() error {
	var err error
	if s.proc != nil {
		err = s.proc.End(endWithin)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
