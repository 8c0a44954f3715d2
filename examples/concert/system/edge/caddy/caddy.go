// Package caddy is the edge of the system: Caddy with its cache-handler, as a process of its own,
// because a process has one Caddy.
//
// The cache-handler knows the answers by their header Surrogate-Key, and is purged by tag. An
// answer that it asked its origin for before a purge, and that comes after the purge, it keeps
// all the same. So a service that writes purges once more a moment later.
package caddy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	_ "github.com/caddyserver/cache-handler" // the module http.handlers.cache
	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/process"
)

// Role is the name of the role Run.
const Role = "edge"

// startWithin is how long Caddy may take until it is ready, on a busy machine.
const startWithin = 30 * time.Second

// Server is a Caddy in front of an origin. It is purged by an edge.Keys.
type Server struct{ process *process.Process }

var _ edge.Server = (*Server)(nil)

// Start starts a Server for the origin at a URL, on a free port of the loopback interface. The
// program has to run the role Run. ctx bounds the start, not the life of the Server.
func Start(ctx context.Context, origin string) (*Server, error) {
	p, err := process.Start(ctx, Role, "the edge", origin, startWithin)
	if err != nil {
		return nil, err
	}
	return &Server{p}, nil
}

// URL returns the address of the Server.
func (s *Server) URL() string { return "http://" + s.process.Addr }

// Close ends the Server.
func (s *Server) Close() error {
	s.process.Kill()
	return nil
}

// Counts returns how many requests the Server has answered by itself, and how many it has asked
// the origin for.
func (s *Server) Counts(ctx context.Context) (hits, misses int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+countsPath, nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, fmt.Errorf("ask the edge for its counts: %w", err)
	}
	defer resp.Body.Close()
	var c counts
	err = json.NewDecoder(resp.Body).Decode(&c)
	return c.Hits, c.Misses, err
}

// Run is the role of a Server. Its configuration is the URL of the origin.
func Run(ctx context.Context, config []byte, ready func(addr string)) error {
	var origin string
	if err := json.Unmarshal(config, &origin); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	err := process.OnFreeAddr(func(addr string) error {
		text, err := json.Marshal(configOf(addr, strings.TrimPrefix(origin, "http://")))
		if err != nil {
			return err
		}
		if err := caddy.Load(text, false); err != nil {
			return fmt.Errorf("start the edge: %w", err)
		}
		ready(addr)
		return nil
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return caddy.Stop()
}

type object = map[string]any

// purgePath is where the cache-handler is purged.
const purgePath = "/souin-api/souin"

func configOf(addr, origin string) object {
	// The cache-handler separates tags by commas. Purgers and the service separate them by
	// spaces, as Fastly does.
	commas := object{"replace": object{"Surrogate-Key": []object{{"search_regexp": " +", "replace": ", "}}}}
	purge := []object{
		{"handler": "headers", "request": commas},
		{"handler": "rewrite", "uri": purgePath},
	}
	serve := []object{
		{"handler": counter},
		{"handler": "cache", "Configuration": object{
			"API":          object{"souin": object{"enable": true}},
			"DefaultCache": object{"cdn": object{"strategy": "hard"}}, // a purge removes, and does not make stale
		}},
		{"handler": "reverse_proxy", "upstreams": []object{{"dial": origin}}, "headers": object{"response": commas}},
	}
	return object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"level": "PANIC"}}},
		"apps": object{"http": object{"servers": object{"edge": object{
			"listen":          []string{addr},
			"automatic_https": object{"disable": true},
			"protocols":       []string{"h1"},
			"routes":          []object{{"match": []object{{"method": []string{"PURGE"}}}, "handle": purge}, {"handle": serve}},
		}}}},
	}
}
