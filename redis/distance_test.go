package redis_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// A command is answered within the budget. A connection is not made within it, because its
// set-up and the first command are three round trips.
func TestADistantRedisIsUsed(t *testing.T) {
	t.Parallel()
	const budget, away, callers = 300 * time.Millisecond, 125 * time.Millisecond, 8
	server := redistest.Start(t)
	for i := range callers {
		fill(t, server, fmt.Sprint("k", i))
	}
	for with, store := range map[string]func(*testing.T, string, redis.Options) *redis.Store{
		"Open": opened,
		"New": func(t *testing.T, addr string, o redis.Options) *redis.Store {
			return borrow(t, goredis.NewClient(&goredis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1}), o)
		},
	} {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			link := lineTo(t, server)
			link.Delay(away / 2) // each way
			s := suffer(t, store(t, link.Addr(), redis.Options{Timeout: budget}), copiesLast(time.Nanosecond))
			redistest.Eventually(t, soon, "as many callers at once have a hit in Redis", func() bool {
				before := s.Stats().RemoteHits
				var reads sync.WaitGroup
				for i := range callers {
					reads.Go(func() { _, _ = s.Get(t.Context(), fmt.Sprint("k", i)) })
					<-time.After(away / callers) // or they would share a round trip
				}
				reads.Wait()
				return s.Stats().RemoteHits == before+callers
			})
		})
	}
}

// Two round trips do not fit into the budget: that is said once, with the time of one.
func TestTheDistanceOfRedisIsSaidOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const away = 150 * time.Millisecond
	for text, budget := range map[string]time.Duration{
		"a second command does without": away * 9 / 5,
		"no command is answered":        away * 2 / 3,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			link := lineTo(t, server)
			link.Delay(away / 2)
			l := &lines{}
			s := opened(t, link.Addr(), redis.Options{Timeout: budget, Logger: l.logger()})
			h := reachable(t, s)
			wantFindings(t, h, redis.FindingDistance)
			if h.Latency < away || !strings.Contains(h.Findings[0].Text, text) {
				t.Errorf("Health = %+v", h)
			}
			var took float64
			if _, err := fmt.Sscanf(h.Findings[0].Text, "a round trip to Redis takes %fms", &took); err != nil || took < 1000*away.Seconds() {
				t.Errorf("%q names %v ms, %v", h.Findings[0].Text, took, err)
			}
			_ = reachable(t, s)
			if said := l.of("finding=distance"); len(said) != 1 {
				t.Errorf("lines %q, want one", said)
			}
		})
	}
}
