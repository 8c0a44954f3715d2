package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// foreignTombstones are of other releases, which alone know what they hold.
var foreignTombstones = map[string]string{
	"an older one":           "T\x01",
	"a later one":            "T\x03\x00\x01 and something",
	"as long as one of ours": "T\x1f\x01sixteen byte id.",
}

// A tombstone of another version keeps everybody out for as long as it was to stand,
// whatever this release does to its key.
func TestTombstonesOfOtherVersionsStand(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const stands, longer, shorter = time.Minute, time.Hour, time.Second
	token, keys := remote.Token{1}, []string{"k"}
	bury := func(ttl time.Duration) func(*redis.Store) error {
		return func(s *redis.Store) error { return s.Guard(t.Context(), token, keys, ttl) }
	}
	lift := func(hold time.Duration) func(*redis.Store) error {
		return func(s *redis.Store) error { return s.Unguard(t.Context(), token, keys, hold) }
	}
	drop := func(hold time.Duration) func(*redis.Store) error {
		return func(s *redis.Store) error { return s.Invalidate(t.Context(), keys, hold) }
	}
	for name, c := range map[string]struct {
		steps []func(*redis.Store) error
		left  time.Duration // what it is to stand at least, and about
		same  bool          // it is the other release's still
	}{
		"Invalidate":                           {steps: []func(*redis.Store) error{drop(0)}, left: stands, same: true},
		"Invalidate with a short hold":         {steps: []func(*redis.Store) error{drop(shorter)}, left: stands, same: true},
		"Invalidate with a long hold":          {steps: []func(*redis.Store) error{drop(longer)}, left: longer},
		"a unguard":                            {steps: []func(*redis.Store) error{lift(0)}, left: stands, same: true},
		"a unguard with a short hold":          {steps: []func(*redis.Store) error{lift(shorter)}, left: stands, same: true},
		"a unguard with a long hold":           {steps: []func(*redis.Store) error{lift(longer)}, left: longer},
		"a short guard":                        {steps: []func(*redis.Store) error{bury(shorter)}, left: stands},
		"a long guard":                         {steps: []func(*redis.Store) error{bury(longer)}, left: longer},
		"a short guard that ends":              {steps: []func(*redis.Store) error{bury(shorter), lift(0)}, left: stands},
		"a short guard that ends, with a hold": {steps: []func(*redis.Store) error{bury(shorter), lift(shorter), lift(0)}, left: stands},
		"a guard twice, and an Invalidate":     {steps: []func(*redis.Store) error{bury(shorter), bury(shorter), drop(0), lift(0), drop(0)}, left: stands},
		"a guard, and a hold that ends it":     {steps: []func(*redis.Store) error{drop(longer), bury(shorter), lift(0)}, left: longer},
	} {
		for of, record := range foreignTombstones {
			t.Run(name+"/"+of, func(t *testing.T) {
				o := patient
				o.Prefix = prefix(t)
				s, key := open(t, server.URL(), o), prefix(t)+":k"
				put(t, server.Client(), key, record, stands)
				for _, step := range c.steps {
					if err := step(s); err != nil {
						t.Fatal(err)
					}
				}
				if got := server.Client().Get(t.Context(), key).Val(); (got == record) != c.same || !strings.HasPrefix(got, "T") {
					t.Errorf("%q became %q", record, got)
				}
				if left := server.Client().PTTL(t.Context(), key).Val(); left < c.left-10*time.Second || left > c.left {
					t.Errorf("it stands for %v, want about %v", left, c.left)
				}
				if rec, err := s.Get(t.Context(), "k", false); err != nil || rec.State != remote.StateTombstone {
					t.Errorf("Get: %v, %v", rec.State, err)
				}
				if l, err := s.Seize(t.Context(), "k", time.Minute); l != nil || err != nil {
					t.Errorf("Seize: %v, %v", l, err)
				}
			})
		}
	}
}

// What only begins like a tombstone makes way.
func TestWhatOnlyBeginsLikeATombstoneIsLifted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(), patient)
	for _, record := range []string{"T", "T\x00", "Text", "T\x02", "T\x02\x01short"} {
		put(t, server.Client(), "nearside:k", record, time.Hour)
		if err := s.Invalidate(t.Context(), []string{"k"}, 0); err != nil {
			t.Fatal(err)
		}
		if rec, err := s.Get(t.Context(), "k", false); err != nil || rec.State != remote.StateAbsent {
			t.Errorf("%q after an Invalidate: %v, %v", record, rec.State, err)
		}
	}
}
