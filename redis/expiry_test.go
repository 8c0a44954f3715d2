package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// noLocal is a local tier that keeps nothing for long enough to be read, so that
// every read is one of Redis.
var noLocal = local.Options{TTL: time.Nanosecond}

// pttl is what Redis says is left of key; it is negative if there is no key, or no TTL.
func pttl(t *testing.T, server *redistest.Server, key string) time.Duration {
	t.Helper()
	left, err := server.Client().PTTL(t.Context(), record(t, key)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func wantPTTL(t *testing.T, server *redistest.Server, key string, least, most time.Duration) {
	t.Helper()
	if left := pttl(t, server, key); left < least || left > most {
		t.Errorf("PTTL of %q is %v, want %v to %v", key, left, least, most)
	}
}

// gone waits until Redis has dropped key by itself.
func gone(t *testing.T, server *redistest.Server, key string) {
	t.Helper()
	redistest.Eventually(t, soon, "the record goes", func() bool {
		return server.Client().Exists(t.Context(), record(t, key)).Val() == 0
	})
}

func TestEntryLivesForItsTTLInBothTiers(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	server := redistest.Start(t)
	o := cache.Options[string, string]{TTL: ttl, FixedTTL: true, Local: local.Options{TTL: time.Hour}}
	a, b := join(t, server, redis.Options{}, o), join(t, server, redis.Options{}, o)
	begin := time.Now()
	wantLoad(t, a, "k", "v")
	filled := time.Now()
	wantPTTL(t, server, "k", 1, ttl)
	wantGet(t, a, "k", "v")
	wantGet(t, b, "k", "v")
	gone(t, server, "k")
	if since := time.Since(begin); since < ttl {
		t.Errorf("gone after %v", since)
	}
	if since := took(filled); since > ttl+2*time.Second {
		t.Errorf("gone after %v", since)
	}
	wantMiss(t, a, "k")
	wantMiss(t, b, "k")
	if s := a.Stats(); s.LocalHits != 1 {
		t.Errorf("%d local hits, want 1", s.LocalHits)
	}
}

// Reads of one kind keep the entry until its MaxAge, and do not keep it longer.
func TestReadsRenewUpToMaxAge(t *testing.T) {
	t.Parallel()
	const ttl, maxAge = 1200 * time.Millisecond, 3400 * time.Millisecond
	for name, reader := range map[string]struct {
		local local.Options
		other bool // than the instance that filled
	}{
		"local hits of the filler":    {local.Options{}, false},
		"local hits of another":       {local.Options{}, true},
		"local hits of longer copies": {local.Options{TTL: time.Hour}, true},
		"remote hits of another":      {noLocal, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			o := cache.Options[string, string]{TTL: ttl, MaxAge: maxAge, Local: reader.local}
			c := join(t, server, redis.Options{}, o)
			begin := time.Now()
			wantLoad(t, c, "k", "v")
			filled := time.Now()
			if reader.other {
				c = join(t, server, redis.Options{}, o)
			}
			var missed time.Time
			redistest.Eventually(t, maxAge+10*time.Second, "a read misses", func() bool {
				_, err := c.Get(t.Context(), "k")
				missed = time.Now()
				return errors.Is(err, cache.ErrMiss)
			})
			// A read that comes late renews nothing any more.
			undisturbed := calm(t, begin, ttl/4)
			if lived := missed.Sub(begin); lived < 2*ttl && undisturbed {
				t.Errorf("the entry lived for %v, although it was read all the time", lived)
			}
			if lived := ran(filled, missed); lived > maxAge+ttl/2 {
				t.Errorf("the entry lived for %v, with a MaxAge of %v", lived, maxAge)
			}
			s := c.Stats()
			if s.Touches < 2 && undisturbed {
				t.Errorf("%d touches", s.Touches)
			}
			if isLocal := reader.local != noLocal; isLocal != (s.LocalHits > s.RemoteHits) && undisturbed {
				t.Errorf("%d local and %d remote hits", s.LocalHits, s.RemoteHits)
			}
		})
	}
}

func TestMaxAgeCountsFromTheStartOfTheLoad(t *testing.T) {
	t.Parallel()
	const maxAge, loadTime = 3 * time.Second, 300 * time.Millisecond
	server := redistest.Start(t)
	o := cache.Options[string, string]{TTL: maxAge, MaxAge: maxAge, Local: local.Options{TTL: time.Hour}}
	c := join(t, server, redis.Options{}, o)
	asked := time.Now()
	if _, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
		<-time.After(loadTime)
		return "v", nil
	}); err != nil {
		t.Fatal(err)
	}
	idle(t, c)
	wantPTTL(t, server, "k", 1, maxAge-loadTime)
	gone(t, server, "k")
	redistest.Eventually(t, soon, "the local copy goes", func() bool {
		read := time.Now()
		_, err := c.Get(t.Context(), "k")
		if age := ran(asked, read); err == nil && age > maxAge+loadTime/2 {
			t.Errorf("the local copy is read %v after its load was asked for, with a MaxAge of %v", age, maxAge)
		}
		return errors.Is(err, cache.ErrMiss)
	})
}

func TestNotEverythingIsRenewed(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	server := redistest.Start(t)
	for name, o := range map[string]cache.Options[string, string]{
		"fixed TTL": {TTL: ttl, FixedTTL: true},
		"not found": {NotFoundTTL: ttl},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far := o
			far.Local = noLocal
			a, b := join(t, server, redis.Options{}, o), join(t, server, redis.Options{}, far)
			want := error(nil)
			if o.NotFoundTTL > 0 {
				want = cache.ErrNotFound
			}
			_, _ = a.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) { return "", want })
			idle(t, a)
			last := ttl
			redistest.Eventually(t, 20*ttl, "the record goes, although it is read", func() bool {
				for _, c := range []*cache.Cache[string, string]{a, b} {
					if _, err := c.Get(t.Context(), "k"); !errors.Is(err, want) && !errors.Is(err, cache.ErrMiss) {
						t.Errorf("Get: %v", err)
					}
				}
				left := pttl(t, server, "k")
				if left > last {
					t.Errorf("%v were left, and then %v", last, left)
				}
				last = left
				return left < 0
			})
			wantMiss(t, a, "k")
			wantMiss(t, b, "k")
			s := b.Stats()
			if hits := s.RemoteHits + s.RemoteNotFoundHits; hits < 2 || s.Touches+a.Stats().Touches != 0 {
				t.Errorf("%d remote hits, %d touches", hits, s.Touches+a.Stats().Touches)
			}
		})
	}
}

// A local hit renews a record that has meanwhile become another one, or gone.
// Here that is of a later format, and all but its first bytes could be a value's.
func TestLateTouchChangesNothing(t *testing.T) {
	t.Parallel()
	const ttl, short = time.Hour, 50 * time.Second
	for name, head := range map[string]string{"lease": "L\x02", "tombstone": "T\x02", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			client, key := server.Client(), record(t, "k")
			o := cache.Options[string, string]{TTL: ttl}
			wantLoad(t, join(t, server, redis.Options{}, o), "k", "v")
			// An eighth of the TTL is gone in three seconds: then the copy is due.
			if err := client.PExpire(t.Context(), key, ttl*7/8+3*time.Second).Err(); err != nil {
				t.Fatal(err)
			}
			c := join(t, server, redis.Options{}, o)
			wantGet(t, c, "k", "v")
			now := ""
			if value := client.GetDel(t.Context(), key).Val(); head != "" {
				now = head + value[2:]
				put(t, client, key, now, short)
			}
			server.ResetCommands()
			redistest.Eventually(t, soon, "a local hit touches the record", func() bool {
				wantGet(t, c, "k", "v")
				return server.Commands()["getrange"] > 0 // which the script begins with
			})
			if got := client.Get(t.Context(), key).Val(); got != now {
				t.Errorf("the record was %q and is %q", now, got)
			}
			if left := pttl(t, server, "k"); left > short {
				t.Errorf("its TTL was extended to %v", left)
			}
		})
	}
}

func TestJitterSpreadsRecords(t *testing.T) {
	t.Parallel()
	const n, ttl, least = 300, time.Hour, time.Hour * 3 / 4
	server := redistest.Start(t)
	c := join(t, server, redis.Options{}, cache.Options[string, string]{TTL: ttl, Jitter: 0.25})
	begin := time.Now()
	var quarters [4]int
	for i := range n {
		key := fmt.Sprint(i)
		wantLoad(t, c, key, "v")
		left := pttl(t, server, key)
		if left < least-time.Since(begin) || left > ttl {
			t.Fatalf("PTTL %v, want %v to %v", left, least, ttl)
		}
		quarters[min(max(left-least, 0)*4/(ttl-least+1), 3)]++
	}
	for i, got := range quarters {
		if got < n/10 {
			t.Errorf("%d of %d records expire in the %d. quarter of the range: %v", got, n, i+1, quarters)
		}
	}
}

func TestJitterSpreadsLocalCopies(t *testing.T) {
	t.Parallel()
	const n, ttl = 50, 2 * time.Second
	server := redistest.Start(t)
	o := cache.Options[string, string]{Jitter: 0.5, Local: local.Options{TTL: ttl}}
	filler, reader := join(t, server, quick, o), join(t, server, quick, o)
	followed(t, filler, reader)
	begin := time.Now()
	read, lived := make(map[string]time.Time), make(map[string]time.Duration)
	for i := range n {
		key := fmt.Sprint(i)
		wantLoad(t, filler, key, "v")
		read[key] = time.Now()
		wantGet(t, reader, key, "v")
	}
	// The first hit of Redis ends the life of a copy.
	redistest.Eventually(t, 10*ttl, "every copy expires", func() bool {
		for key := range read {
			before := reader.Stats().RemoteHits
			wantGet(t, reader, key, "v")
			if _, over := lived[key]; !over && reader.Stats().RemoteHits > before {
				lived[key] = time.Since(read[key])
			}
		}
		return len(lived) == n
	})
	shortest, longest := 10*ttl, time.Duration(0)
	for _, l := range lived {
		shortest, longest = min(shortest, l), max(longest, l)
	}
	const heard = quickLog / 2 // the copies count from when the log was last heard of
	lost, _ := stalls.Since(begin)
	if shortest < ttl/2-heard-lost || longest-lost > ttl+2*time.Second || longest-shortest < ttl/8 {
		t.Errorf("copies lived for %v to %v, want a spread over %v to %v", shortest, longest, ttl/2, ttl)
	}
}

func TestNotFoundIsRememberedInTheFleet(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	o := cache.Options[string, string]{NotFoundTTL: 30 * time.Minute}
	a, b := join(t, server, redis.Options{}, o), join(t, server, redis.Options{}, o)
	wrapped := fmt.Errorf("row 7: %w", cache.ErrNotFound)
	if _, err := a.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) { return "", wrapped }); err != wrapped {
		t.Errorf("the load's caller got %v", err)
	}
	idle(t, a)
	wantPTTL(t, server, "k", 29*time.Minute, o.NotFoundTTL)
	for range 2 {
		for _, c := range []*cache.Cache[string, string]{a, b} {
			if _, err := c.GetOrLoad(t.Context(), "k", yields[string]("v")); err != cache.ErrNotFound {
				t.Errorf("GetOrLoad: %v", err)
			}
		}
	}
	if s := b.Stats(); s.RemoteNotFoundHits != 1 || s.LocalNotFoundHits != 1 {
		t.Errorf("%d remote and %d local hits, want one of each", s.RemoteNotFoundHits, s.LocalNotFoundHits)
	}
	if err := b.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	wantMiss(t, join(t, server, redis.Options{}, o), "k")
	wantLoad(t, b, "k", "v")
}
