package peers_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	deadline = 2 * time.Second        // of a caller
	settling = 300 * time.Millisecond // for what a library does in the background
	longTTL  = time.Hour
)

var sample = peers.User{ID: 7, Name: "Ada Lovelace", Email: "ada@example.org", Age: 36, Created: time.Unix(1e9, 0).UTC()}

// source is the database. Its one user has a version, as the age.
type source struct {
	version atomic.Int64
	loads   atomic.Int64
	delay   func(context.Context) error // between the read of the version and the return; nil is none
}

func (s *source) load(ctx context.Context, _ string) (peers.User, error) {
	s.loads.Add(1)
	u := sample
	u.Age = int(s.version.Load())
	if s.delay != nil {
		if err := s.delay(ctx); err != nil {
			return peers.User{}, err
		}
	}
	return u, nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func settle() { <-time.After(settling) }

// open returns an instance that is closed at the end of t.
func open(t *testing.T, p peers.Peer, server *redistest.Server, s peers.Settings) peers.Instance {
	t.Helper()
	if s.TTL == 0 {
		s.TTL = longTTL
	}
	i, err := p.Open(server.URL(), s)
	if err != nil {
		t.Fatalf("%s: open: %v", p.Name, err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

// get is a call with a deadline. It returns the age.
func get(i peers.Instance, key string) (age int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	u, err := i.Get(ctx, key)
	return int64(u.Age), err
}

func mustGet(t *testing.T, i peers.Instance, key string) int64 {
	t.Helper()
	age, err := get(i, key)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return age
}

func mustDelete(t *testing.T, i peers.Instance, key string) {
	t.Helper()
	if err := i.Delete(t.Context(), key); err != nil {
		t.Fatalf("delete: %v", err)
	}
}
