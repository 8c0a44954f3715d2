// Package page is the page on which people watch the system. It is one HTML file, to which the
// server sends the events of the run as server-sent events.
package page

import (
	"context"
	_ "embed" // for the page's file
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

//go:embed page.html
var html []byte

// Instance is an instance as the page shows it.
type Instance struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	State   string `json:"state"` // "ready", "starting", "draining" or "no answer"
}

// Side is one of the two fleets.
type Side struct {
	Instances []Instance `json:"instances"`
	Queries   float64    `json:"queries"`  // that reached the database in a second
	Requests  float64    `json:"requests"` // of users in a second
	Queued    uint64     `json:"queued"`
	Dead      uint64     `json:"dead"`
	Sold      int        `json:"sold"`
	Twice     int        `json:"twice"` // seats that were sold twice
}

// Snapshot is the state of the system at one moment.
type Snapshot struct {
	Cached Side `json:"cached"`
	Plain  Side `json:"plain"`

	// The shares of the reads of the last moment that each tier answered.
	Local  float64 `json:"local"`
	Remote float64 `json:"remote"`
	Source float64 `json:"source"`

	Redis string `json:"redis"` // "in use" or "away"
}

// Event is something that has happened.
type Event struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// kept is how many events a page that is opened later gets to see.
const kept = 60

// Page is the page's server. It is safe for concurrent use.
type Page struct {
	addr string
	web  *http.Server

	mu       sync.Mutex // guards all below
	events   []Event
	snapshot []byte // in JSON; nil before the first
	watchers map[chan message]bool
}

// message is one server-sent event.
type message struct {
	kind string
	text []byte
}

// Serve starts a Page at addr. A port of 0 is a free one.
func Serve(addr string) (*Page, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the page cannot listen at %s: %w", addr, err)
	}
	p := &Page{addr: listener.Addr().String(), watchers: make(map[chan message]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:")
		_, _ = w.Write(html)
	})
	mux.HandleFunc("GET /events", p.stream)
	p.web = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go p.web.Serve(listener)
	return p, nil
}

// URL returns the address of the page.
func (p *Page) URL() string { return "http://" + p.addr + "/" }

// Close ends the server, and the streams of its watchers.
func (p *Page) Close() error {
	err := p.web.Close()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Event shows an event.
func (p *Page) Event(text string) {
	e := Event{time.Now(), text}
	encoded, err := json.Marshal(e)
	if err != nil {
		return // an Event always encodes
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	p.events = slices.Delete(p.events, 0, max(0, len(p.events)-kept))
	p.sendLocked(message{"happened", encoded})
}

// Show shows a snapshot.
func (p *Page) Show(s Snapshot) {
	encoded, err := json.Marshal(s)
	if err != nil {
		return // only a ratio that is no number does not encode
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.snapshot = encoded
	p.sendLocked(message{"snapshot", encoded})
}

// sendLocked sends to all watchers. One that does not keep up misses the message.
func (p *Page) sendLocked(m message) {
	for w := range p.watchers {
		select {
		case w <- m:
		default:
		}
	}
}

// watch returns the first messages for a new watcher, and the channel of later messages.
func (p *Page) watch() (first []message, later chan message) {
	later = make(chan message, 64)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers[later] = true
	for _, e := range p.events {
		if text, err := json.Marshal(e); err == nil {
			first = append(first, message{"happened", text})
		}
	}
	if p.snapshot != nil {
		first = append(first, message{"snapshot", p.snapshot})
	}
	return first, later
}

func (p *Page) leave(w chan message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watchers, w)
}

func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	first, later := p.watch()
	defer p.leave(later)
	for _, m := range first {
		if !m.write(w) {
			return
		}
	}
	for flush.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case m := <-later:
			if !m.write(w) {
				return
			}
		}
	}
}

func (m message) write(w http.ResponseWriter) bool {
	_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", m.kind, m.text)
	return err == nil
}
