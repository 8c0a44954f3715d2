package service_test

import (
	"net/http"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// TestReadsRenewTheTTL: the clock of Redis is put forward, and each reader is a new instance, which
// has no copy of its own.
func TestReadsRenewTheTTL(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	stats := func(i *instance) (st service.Stats) {
		i.send(http.MethodGet, "/statsz", "", nil).decode(t, &st)
		return st
	}
	const read, unread = "/api/concerts/1", "/api/concerts/2"
	first := s.start(t, nil).ready()
	first.send(http.MethodGet, read, "", nil)
	first.send(http.MethodGet, unread, "", nil)
	if n := stats(first).Loads; n != 5 { // two concerts and their notices, and the categories
		t.Errorf("%d loads, want 5", n)
	}
	first.await("the values are in Redis", func() bool {
		another := s.start(t, nil).ready()
		another.send(http.MethodGet, read, "", nil)
		another.send(http.MethodGet, unread, "", nil)
		return stats(another).Loads == 0
	})
	var last *instance
	for range 4 {
		s.redis.FastForward(service.TTL / 2)
		last = s.start(t, nil).ready()
		last.send(http.MethodGet, read, "", nil)
		if n := stats(last).Loads; n != 0 {
			t.Fatalf("%d loads of a concert that is read every half TTL, want none", n)
		}
		last.await("the reads have renewed three TTLs", func() bool { return stats(last).Renewed == 3 })
	}
	last.send(http.MethodGet, unread, "", nil)
	if n := stats(last).Loads; n != 2 { // the concert and its notices
		t.Errorf("%d loads of a concert that nobody read for two TTLs, want 2", n)
	}
}
