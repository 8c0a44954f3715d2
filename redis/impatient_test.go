package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// Callers whose deadlines are shorter than the budget leave before it is over.
// The breaker must learn from the commands that they leave behind, or all callers
// would fail for as long as Redis hangs.
func TestImpatientCallersLetTheBreakerOpen(t *testing.T) {
	for how, address := range neverServed {
		for with, store := range makersToo {
			t.Run(how+"/"+with, func(t *testing.T) {
				t.Parallel()
				s := suffer(t, store(t, address(t), redis.Options{}))
				read := func(key string) error {
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
					defer cancel()
					_, err := s.GetOrLoad(ctx, key, loads("v"))
					return err
				}
				n := 0
				redistest.Eventually(t, soon, "the breaker is open", func() bool {
					n++
					_ = read(fmt.Sprint("before ", n))
					return s.store.Stats().BreakerOpen
				})
				start, failed := time.Now(), 0
				for i := range 20 {
					if read(fmt.Sprint(i)) != nil {
						failed++
					}
				}
				if failed > 5 && calm(t, start, 30*time.Millisecond) { // on a machine that stalls, a load may take 30 ms
					t.Errorf("%d of 20 reads failed with an open breaker", failed)
				}
			})
		}
	}
}

// A Redis that is full is not to be asked more often than it must be.
func TestOutOfMemoryCostsAMissTwoCommands(t *testing.T) {
	server := redistest.Start(t)
	s := suffer(t, opened(t, server.Addr(), redis.Options{LeaseTTL: 120 * time.Millisecond}))
	s.warm(t)
	for name, value := range map[string]string{"maxmemory-policy": "noeviction", "maxmemory": "1"} {
		if err := server.Client().ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	server.ResetCommands()
	const n = 50
	for i := range n {
		s.wantLoaded(t, fmt.Sprint(i), "v")
	}
	<-time.After(200 * time.Millisecond) // longer than a lease that is given up is looked after
	if got := commands(server); got["get"] > 2*n || got["evalsha"] > n {
		t.Errorf("%d misses sent %d EVALSHA and %d GET, those of the scripts included", n, got["evalsha"], got["get"])
	}
}

func TestNewRefusesClientsThatCannotBeReliedOn(t *testing.T) {
	addr := redistest.Refused(t)
	for want, client := range map[string]goredis.UniversalClient{
		"Ring":          goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": addr}}),
		"log":           struct{ *goredis.Client }{goredis.NewClient(&goredis.Options{Addr: addr})},
		"from replicas": goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{addr}, RouteRandomly: true}),
	} {
		defer client.Close()
		if _, err := redis.New(client, redis.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want an error that names %q", err, want)
		}
	}
}
