package redis

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
)

// trimmed is a log that is trimmed exactly.
type trimmed struct{ sizes []int }

func (l *trimmed) add(size, length, bytes int) {
	l.sizes = append(l.sizes, size+entryOverhead)
	if kept := int(entriesKept(size, length, bytes)); len(l.sizes) > kept {
		l.sizes = l.sizes[len(l.sizes)-kept:]
	}
}

func (l *trimmed) sum() (sum int) {
	for _, size := range l.sizes {
		sum += size
	}
	return sum
}

func TestALogOfAnySizesIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(1, 200).Draw(t, "length")
		bytes := rapid.IntRange(1000, 100_000).Draw(t, "bytes")
		sizes := rapid.SliceOfN(rapid.IntRange(0, bytes-entryOverhead), 1, 600).Draw(t, "sizes")
		var l trimmed
		for _, size := range sizes {
			l.add(size, length, bytes)
			if n := len(l.sizes); n > length {
				t.Fatalf("%d entries, want %d at most", n, length)
			}
			if most := float64(bytes) * (1 + math.Log(float64(length))); float64(l.sum()) > most {
				t.Fatalf("%d bytes, want %.0f at most", l.sum(), most)
			}
		}
		var equal trimmed
		for range 2 * length {
			equal.add(sizes[0], length, bytes)
		}
		if equal.sum() > bytes {
			t.Fatalf("entries of %d bytes take %d, want %d at most", sizes[0], equal.sum(), bytes)
		}
	})
}

// The harmonic sum is no exaggeration: entries that shrink by what is left get there.
func TestALogOfShrinkingEntriesTakesMore(t *testing.T) {
	const length, bytes = 1000, 1_000_000
	var l trimmed
	for n := 1; n <= length; n++ {
		l.add(bytes/n-entryOverhead, length, bytes)
	}
	if sum := l.sum(); sum < 6*bytes || float64(sum) > bytes*(1+math.Log(length)) {
		t.Errorf("%d bytes", sum)
	}
}

func TestEntriesAreOfAtMostSoManyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat("x", rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 3*maxEntryBytes)).Draw(t, "size"))
		})).Draw(t, "names")
		var decoded []string
		for rest := names; len(rest) > 0; {
			var entry []byte
			entry, rest = newEntry(origin{}, false, rest).encode()
			e, err := decodeEntry(entry)
			got := e.names
			if err != nil || len(got) == 0 {
				t.Fatalf("an entry of %d names: %v", len(got), err)
			}
			if len(entry) > maxEntryBytes+10 && len(got) > 1 {
				t.Fatalf("an entry of %d names has %d bytes", len(got), len(entry))
			}
			decoded = append(decoded, got...)
		}
		if strings.Join(decoded, ",") != strings.Join(names, ",") {
			t.Fatalf("%d names became %d", len(names), len(decoded))
		}
	})
}

// noFollower is told in vain.
type noFollower struct{}

func (noFollower) Since(remote.Position, bool)               {}
func (noFollower) Lost()                                     {}
func (noFollower) Recovered(context.Context)                 {}
func (noFollower) Invalidated(string, remote.Position, bool) {}
func (noFollower) Replaced(string, remote.Position, bool)    {}
func (noFollower) Reverted(remote.Position, []string)        {}

// A reader renews the TTL of a log to which nothing is appended when it begins, and again
// after an eighth of it.
func TestAReaderRenewsTheTTLOfAnIdleLog(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	log := server.Client()
	if err := log.Do(t.Context(), "XADD", "nearside:log", "*", "other", "x").Err(); err != nil {
		t.Fatal(err)
	}
	shorten := func() {
		if ok, err := log.PExpire(t.Context(), "nearside:log", time.Minute).Result(); err != nil || !ok {
			t.Fatal("there is no log", err)
		}
	}
	wantRenewed := func(when string) {
		t.Helper()
		redistest.Eventually(t, time.Minute, "the TTL of the log is renewed "+when, func() bool {
			return log.PTTL(t.Context(), "nearside:log").Val() > logTTL-time.Minute
		})
	}
	shorten()
	s, err := Open(server.URL(), Options{Timeout: 5 * time.Second, LogTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	stop, err := s.Follow("c", noFollower{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	wantRenewed("at the beginning")
	p := s.logs[0]
	redistest.Eventually(t, time.Minute, "it is not due", func() bool { return !p.renewalDue() })
	shorten()
	p.mu.Lock()
	p.renewed = p.renewed.Add(-logTTL / 8)
	p.mu.Unlock()
	wantRenewed("when it is due")
	if n := log.XLen(t.Context(), "nearside:log").Val(); n != 1 {
		t.Errorf("the log has %d entries, want 1: nothing was to be appended", n)
	}
}
