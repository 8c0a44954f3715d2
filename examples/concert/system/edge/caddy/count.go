package caddy

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	counter    = "concert_edge_counter"
	countsPath = "/-/counts"
)

// counts are the requests that were answered by the cache and by the origin. Its zero value is
// a handler of Caddy in front of the cache-handler.
type counts struct {
	mu     *sync.Mutex // guards all below
	Hits   int
	Misses int
}

func init() { caddy.RegisterModule(counts{}) }

var _ caddyhttp.MiddlewareHandler = (*counts)(nil)

// CaddyModule names the module in Caddy's configuration.
func (counts) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers." + counter, New: func() caddy.Module { return &counts{mu: &sync.Mutex{}} }}
}

// ServeHTTP counts the answers of next by their Cache-Status, which is that of RFC 9211, and
// answers requests for the counts.
func (c *counts) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.URL.Path == countsPath {
		c.mu.Lock()
		defer c.mu.Unlock()
		return json.NewEncoder(w).Encode(c)
	}
	err := next.ServeHTTP(w, r)
	if r.Method == http.MethodGet {
		c.mu.Lock()
		defer c.mu.Unlock()
		if strings.Contains(w.Header().Get("Cache-Status"), "; hit") {
			c.Hits++
		} else {
			c.Misses++
		}
	}
	return err
}
