package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

func TestNoPermission(t *testing.T) {
	server := redistest.Start(t)
	for name, user := range map[string]struct {
		rights  []any
		deletes bool // Invalidate can succeed
	}{
		"delete":  {[]any{"+@all", "-unlink", "-del"}, false},
		"write":   {[]any{"+@all", "-@write"}, false},
		"scripts": {[]any{"+@all", "-@scripting"}, false},
		"read":    {[]any{"+@all", "-get"}, true},
		"streams": {[]any{"+@all", "-@stream"}, false},
		"other":   {[]any{"+@all", "resetkeys", "~other:*"}, false},
		"nothing": {[]any{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			fill(t, server, name)
			acl := append([]any{"acl", "setuser", name, "on", ">secret", "~*"}, user.rights...)
			if err := server.Client().Do(t.Context(), acl...).Err(); err != nil {
				t.Fatal(err)
			}
			s := suffer(t, open(t, "redis://"+name+":secret@"+server.Addr(), patient))
			checkServed(t, s, server, name)
			if err := s.Invalidate(t.Context(), name); (err == nil) != user.deletes {
				t.Errorf("Invalidate: %v", err)
			}
			if s.Stats().RemoteErrors == 0 {
				t.Errorf("no failure of the remote tier is counted: %+v", s.Stats())
			}
			if s.store.Stats().BreakerOpened != 0 {
				t.Error("replies of a server that serves opened the breaker")
			}
			other := suffer(t, open(t, server.URL(), patient))
			start := time.Now()
			if v, err := other.GetOrLoad(t.Context(), fmt.Sprint(t.Name(), 0), loads("v")); err != nil || v != "v" {
				t.Errorf("GetOrLoad of an instance with every right = %q, %v", v, err)
			}
			within(t, start, time.Second, "a read by an instance with every right")
		})
	}
}

// A user who may do all but PING must not keep the breaker open for ever.
func TestNoPermissionToPing(t *testing.T) {
	server := redistest.Start(t)
	err := server.Client().Do(t.Context(), "acl", "setuser", "quiet", "on", ">secret", "~*", "+@all", "-ping").Err()
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, "redis://quiet:secret@"+server.Addr(), redis.Options{MaxFailures: 1})
	server.Pause()
	if _, err := s.Get(t.Context(), "k", false); err == nil {
		t.Error("Get from a Redis that hangs: no error")
	}
	server.Resume()
	redistest.Eventually(t, soon, "the breaker is closed", func() bool { return !s.Stats().BreakerOpen })
}

func TestNoMoreClients(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			fill(t, server, "k")
			limit := func(n int) {
				t.Helper()
				if err := server.Client().ConfigSet(t.Context(), "maxclients", fmt.Sprint(n)).Err(); err != nil {
					t.Fatal(err)
				}
			}
			limit(1)
			s := suffer(t, store(t, server.Addr(), redis.Options{}))
			checkServed(t, s, server, "k")
			for i := range 5 {
				s.wantLoaded(t, fmt.Sprint(i), "v")
			}
			if s.store.Stats().BreakerOpened == 0 {
				t.Error("the breaker stayed closed")
			}
			limit(100)
			redistest.Eventually(t, soon, "Invalidate succeeds", func() bool {
				return checkInvalidate(t, s, server, "k") == nil
			})
		})
	}
}
