package edge

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Cache is a stand-in for a cache at the edge: an HTTP server that keeps the answers of an
// origin for as long as their s-maxage says, and that Keys and CloudFront can purge. It is safe for
// concurrent use.
type Cache struct {
	web    *http.Server
	addr   string
	client http.Client

	origin string

	mu     sync.Mutex       // guards all below
	kept   map[string]*kept // by path
	purges uint64           // counts the purges
	hits   int
	misses int
}

// kept is an answer of the origin.
type kept struct {
	header http.Header
	body   []byte
	tags   []string
	since  time.Time
	until  time.Time
}

var _ Server = (*Cache)(nil)

// Serve starts a Cache for the origin at a URL, on a free port of the loopback interface.
func Serve(origin string) (*Cache, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the edge: %w", err)
	}
	c := &Cache{origin: origin, addr: listener.Addr().String(), kept: make(map[string]*kept)}
	mux := http.NewServeMux()
	mux.HandleFunc("PURGE /", c.purgeTags)
	mux.HandleFunc("POST /2020-05-31/distribution/{id}/invalidation", c.purgePaths)
	mux.HandleFunc("GET /", c.get)
	c.web = &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go c.web.Serve(listener)
	return c, nil
}

// URL returns the address of the Cache.
func (c *Cache) URL() string { return "http://" + c.addr }

// Counts returns how many requests the Cache has answered by itself, and how many it has asked
// the origin for.
func (c *Cache) Counts(context.Context) (hits, misses int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses, nil
}

// Close ends the Cache.
func (c *Cache) Close() error { return c.web.Close() }

func (c *Cache) get(w http.ResponseWriter, r *http.Request) {
	where := r.URL.RequestURI()
	k, purges := c.look(where)
	if k != nil {
		w.Header().Set("Age", strconv.Itoa(int(time.Since(k.since).Seconds())))
		k.write(w)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, c.origin+where, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	begun := time.Now()
	resp, err := c.client.Do(req)
	if err != nil {
		http.Error(w, "the origin does not answer", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		http.Error(w, "the origin's answer ends early", http.StatusBadGateway)
		return
	}
	k = &kept{header: resp.Header, body: body, tags: strings.Fields(resp.Header.Get(tagHeader)), since: begun}
	if seconds := sharedMaxAge(resp.Header.Get("Cache-Control")); resp.StatusCode == http.StatusOK && seconds > 0 {
		k.until = begun.Add(time.Duration(seconds) * time.Second)
		c.keep(where, k, purges)
	}
	if resp.StatusCode != http.StatusOK {
		w.WriteHeader(resp.StatusCode)
	}
	k.write(w)
}

func (k *kept) write(w http.ResponseWriter) {
	for _, name := range []string{"Content-Type", "Cache-Control", "ETag"} {
		if v := k.header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	_, _ = w.Write(k.body) // a client that has left gets no answer
}

// look returns a fresh answer, or nil and the number of purges so far.
func (c *Cache) look(where string) (k *kept, purges uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k = c.kept[where]; k != nil && time.Now().Before(k.until) {
		c.hits++
		return k, 0
	}
	c.misses++
	return nil, c.purges
}

// keep keeps an answer, unless there was a purge since it was asked for: it may be older than
// the purge.
func (c *Cache) keep(where string, k *kept, purges uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.purges == purges {
		c.kept[where] = k
	}
}

// sharedMaxAge returns the seconds of s-maxage in a Cache-Control header; 0 if it has none.
func sharedMaxAge(header string) int {
	for part := range strings.SplitSeq(header, ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(part), "s-maxage="); ok {
			seconds, _ := strconv.Atoi(text) // 0 for text that is no number
			return seconds
		}
	}
	return 0
}

func (c *Cache) purge(gone func(where string, k *kept) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purges++
	for where, k := range c.kept {
		if gone(where, k) {
			delete(c.kept, where)
		}
	}
}

func (c *Cache) purgeTags(_ http.ResponseWriter, r *http.Request) {
	tags := strings.Fields(r.Header.Get(tagHeader))
	c.purge(func(_ string, k *kept) bool {
		return slices.ContainsFunc(k.tags, func(tag string) bool { return slices.Contains(tags, tag) })
	})
}

func (c *Cache) purgePaths(w http.ResponseWriter, r *http.Request) {
	var batch invalidationBatch
	if err := xml.NewDecoder(r.Body).Decode(&batch); err != nil || batch.Quantity != len(batch.Paths) || batch.Quantity == 0 || batch.CallerReference == "" {
		http.Error(w, "MalformedInput", http.StatusBadRequest)
		return
	}
	c.purge(func(where string, _ *kept) bool {
		return slices.ContainsFunc(batch.Paths, func(p string) bool { return matches(p, where) })
	})
	w.WriteHeader(http.StatusCreated)
}

// matches reports whether a path of an invalidation is that of an answer.
func matches(pattern, where string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(where, prefix)
	}
	return path.Clean(pattern) == path.Clean(where)
}
