// Package page is the page on which people watch the system. It is one HTML file, to which the
// server sends the events of the run as server-sent events.
package page

import (
	_ "embed" // for the page's file
	"encoding/json"
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
	Busy      bool       `json:"busy"`     // its users send requests
	Queries   float64    `json:"queries"`  // that reached the database in a second
	Requests  float64    `json:"requests"` // of users in a second
	Each      float64    `json:"each"`     // queries for each request, of the scenarios that are over
	Failed    int64      `json:"failed"`   // requests that failed, since the start
	Queued    uint64     `json:"queued"`   // messages that wait
	Dead      uint64     `json:"dead"`     // dead letters
	Sold      int        `json:"sold"`     // seats
	Twice     int        `json:"twice"`    // seats that were sold twice
}

// Snapshot is the state of the system at one moment.
type Snapshot struct {
	Scenario string `json:"scenario"` // that is being played
	Cached   Side   `json:"cached"`
	Plain    Side   `json:"plain"`

	// The shares of the latest reads that each tier answered.
	Local  float64 `json:"local"`
	Remote float64 `json:"remote"`
	Source float64 `json:"source"`

	Redis string `json:"redis"` // "in use" or "away"
}

// point is a place on the graph: a time in milliseconds, and the queries per second of both
// sides. A side without users has none.
type point [3]*float64

func pointOf(s Snapshot, at time.Time) point {
	ms := float64(at.UnixMilli())
	p := point{&ms}
	for k, side := range []*Side{&s.Cached, &s.Plain} {
		if side.Busy {
			p[1+k] = &side.Queries
		}
	}
	return p
}

// Kind is the subject of an Event.
type Kind string

// The kinds of events.
const (
	Scenario Kind = "scenario" // a scenario begins
	Step     Kind = "step"     // something happens in it
	Result   Kind = "result"   // it went as it should
	Wrong    Kind = "wrong"    // it did not
)

// Event is something that has happened.
type Event struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	Text string    `json:"text"`
}

const (
	// keptEvents is how many events a page that is opened later gets to see.
	keptEvents = 100

	// keptPoints is how many places its graph has: those of a minute, if there are two
	// snapshots a second.
	keptPoints = 120
)

// retry is how long a browser waits before it connects again.
const retry = time.Second

// Page is the page's server. It is safe for concurrent use.
type Page struct {
	addr string
	web  *http.Server

	mu       sync.Mutex // guards all below
	events   []Event
	points   []point
	snapshot []byte // in JSON; nil before the first
	watchers map[chan message]bool
}

// message is one server-sent event.
type message struct {
	kind string
	text []byte // in JSON
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
func (p *Page) Close() error { return p.web.Close() }

// Event shows an event.
func (p *Page) Event(kind Kind, text string) {
	e := Event{time.Now(), kind, text}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = last(keptEvents, append(p.events, e))
	p.sendLocked(newMessage("happened", e))
}

// Show shows a snapshot.
func (p *Page) Show(s Snapshot) {
	at := pointOf(s, time.Now())
	m := newMessage("snapshot", struct {
		Snapshot
		Point point `json:"point"`
	}{s, at})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.points = last(keptPoints, append(p.points, at))
	p.snapshot = m.text
	p.sendLocked(m)
}

// last returns the last n of all.
func last[T any](n int, all []T) []T { return slices.Delete(all, 0, max(0, len(all)-n)) }

// newMessage panics if v cannot be encoded, as with a share that is no number.
func newMessage(kind string, v any) message {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode a message for the page: %v", err))
	}
	return message{kind, text}
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
	first = append(first, newMessage("history", append([]point{}, p.points...)))
	for _, e := range p.events {
		first = append(first, newMessage("happened", e))
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
	if _, err := fmt.Fprintf(w, "retry: %d\n\n", retry.Milliseconds()); err != nil {
		return
	}
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
