package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

func TestAReadThatRedisFailedIsNotWrittenBack(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := suffer(t, store(t, server.Addr(), redis.Options{Timeout: sendable}))
			s.warm(t)
			server.ResetCommands()
			server.Pause()
			s.wantLoaded(t, "k", "v")
			server.Resume()
			caughtUp(t, server) // with the read that was overdue
			idle(t, s)
			n := commands(server)
			for _, write := range []string{"evalsha", "eval", "set", "unlink", "del"} {
				if n[write] != 0 {
					t.Errorf("Redis was sent %d %s after a read that failed", n[write], write)
				}
			}
			if server.Client().Exists(t.Context(), "nearside:ill:0:k").Val() != 0 {
				t.Error("the value is in Redis")
			}
		})
	}
}

func TestRedisDiesBetweenTheReadAndTheFill(t *testing.T) {
	ends := map[string]func(*redistest.Server){"killed": (*redistest.Server).Kill, "paused": (*redistest.Server).Pause}
	for how, end := range ends {
		for with, store := range makers {
			t.Run(how+"/"+with, func(t *testing.T) {
				t.Parallel()
				server := redistest.Start(t)
				s := suffer(t, store(t, server.Addr(), redis.Options{}))
				s.wantLoaded(t, "scripts and a connection", "v")
				dieDuringTheLoad(t, s, server, end)
			})
		}
	}
}

func dieDuringTheLoad(t *testing.T, s *sufferer, server *redistest.Server, end func(*redistest.Server)) {
	t.Helper()
	loading, dead := make(chan struct{}), make(chan struct{})
	type result struct {
		value string
		err   error
		at    time.Time
	}
	read := make(chan result, 1)
	go func() {
		v, err := s.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
			close(loading)
			<-dead
			return "v", nil
		})
		read <- result{v, err, time.Now()}
	}()
	<-loading
	end(server)
	loaded := time.Now()
	close(dead)
	r := <-read
	if r.err != nil || r.value != "v" {
		t.Errorf("GetOrLoad = %q, %v; want v", r.value, r.err)
	}
	if took := ran(loaded, r.at); took > s.store.Budget()+hiccup {
		t.Errorf("GetOrLoad returned %v after its load, want at most the budget of %v", took, s.store.Budget())
	}
}

func TestNothingWaitsForRedisOnceTheCallersContextEnds(t *testing.T) {
	t.Parallel()
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			const budget = 2 * time.Second // a machine that stalls for less lets the caller's context end first
			s := suffer(t, store(t, redistest.Blackhole(t), redis.Options{Timeout: budget}))
			calls := map[string]func(context.Context) error{
				"Get": func(ctx context.Context) error {
					_, err := s.Get(ctx, "k")
					return err
				},
				"GetOrLoad": func(ctx context.Context) error {
					_, err := s.GetOrLoad(ctx, "k", loads("v"))
					return err
				},
			}
			for name, call := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				start := time.Now()
				err := call(ctx)
				cancel()
				if err != context.DeadlineExceeded {
					t.Errorf("%s returned %v, want the context's own error", name, err)
				}
				within(t, start, 20*time.Millisecond+hiccup, name)
			}
			if s.store.Stats().BreakerOpen {
				t.Error("callers who left opened the breaker")
			}
		})
	}
}

func TestCloseDuringAnOutageReturnsSoon(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := suffer(t, store(t, server.Addr(), redis.Options{}), func(o *cache.Options[string, string]) {
				o.TTL = 2 * time.Second
			})
			s.wantLoaded(t, "warm", "v")
			server.Pause()
			done := make(chan struct{}, 20)
			for i := range cap(done) {
				go func() {
					_, _ = s.GetOrLoad(t.Context(), fmt.Sprint(i), loads("v"))
					_ = s.Invalidate(t.Context(), "warm")
					done <- struct{}{}
				}()
			}
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Errorf("Cache.Close: %v", err)
			}
			if err := s.store.Close(); err != nil {
				t.Errorf("Store.Close: %v", err)
			}
			within(t, start, 3*s.store.Budget()+2*hiccup, "closing both")
			for range cap(done) {
				<-done
			}
			if _, err := s.GetOrLoad(t.Context(), "k", loads("v")); err != cache.ErrClosed {
				t.Errorf("GetOrLoad after Close: %v, want ErrClosed", err)
			}
			if _, err := s.store.Get(t.Context(), "k", false); err != cache.ErrUnavailable {
				t.Errorf("Store.Get after Close: %v, want ErrUnavailable", err)
			}
		})
	}
}
