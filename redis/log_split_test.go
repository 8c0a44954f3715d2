package redis_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
)

// A primary that Sentinel cannot reach is replaced, and lives on: the clients of the
// Stores are sent to the promoted server, and a log that is read goes on being read
// where nothing is appended any more, or only what others append who have not been sent
// elsewhere. Local.TTL bounds what is served then.
func TestALogThatIsReadFromAPrimaryOfThePast(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"silent": false, "busy": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readFromThePast(t, busy)
		})
	}
}

func readFromThePast(t *testing.T, busy bool) {
	const ttl = 600 * time.Millisecond
	p := newPair(t)
	o := cache.Options[string, string]{Tags: tagsOf, Local: local.Options{TTL: ttl}}
	a, b := p.enterWith(t, false, o), p.enterWith(t, false, o)
	hold(t, "k", "old", a, b)
	hold(t, "tagged", "old|t", a, b)
	hasRecords(t, p.primary, a, "t")
	p.replicated(t, a)
	redistest.Eventually(t, soon, "the replica has all records", func() bool {
		return p.replica.Client().Exists(t.Context(), a.prefix+":c:0:k", a.prefix+":c:0:tagged", a.tagKey("t"), a.tagKey("")).Val() == 4
	})
	p.detach(t)
	if busy {
		defer p.keepBusy(t, a)()
	}
	p.current.Store(p.replica)
	killAllButReaders(t, p.primary)
	redistest.Eventually(t, soon, "invalidations go to the promoted server", func() bool {
		return a.Invalidate(t.Context(), "k") == nil && a.InvalidateTags(t.Context(), "t") == nil &&
			p.replica.Client().Exists(t.Context(), a.prefix+":c:0:k").Val() == 0
	})
	done := time.Now()
	for time.Since(done) < ttl+slack {
		asked := time.Now()
		for _, key := range []string{"k", "tagged"} {
			if v, err := b.Get(t.Context(), key); err == nil && ran(done, asked) > ttl {
				t.Fatalf("%v after the invalidation, with a Local.TTL of %v: Get(%s) = %q", asked.Sub(done), ttl, key, v)
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	redistest.Eventually(t, soon, "the log is read from the promoted server", func() bool {
		return b.store.Observed("c") == a.store.Observed("c")
	})
}

// keepBusy makes others append to the log of the primary, until stop is called. An append fails
// whose connection is closed meanwhile; stop wants the last one to have arrived.
func (p *pair) keepBusy(t *testing.T, i *instance) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var running sync.WaitGroup
	var last error
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				last = p.primary.Client().XAdd(t.Context(), &goredis.XAddArgs{
					Stream: i.logKey(), Values: []any{"e", logEntry("c:0:another")},
				}).Err()
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
		if last != nil {
			t.Error("nobody appends to the log of the primary:", last)
		}
	}
}

// killAllButReaders closes the connections of the server but those that wait for a log.
func killAllButReaders(t *testing.T, server *redistest.Server) {
	t.Helper()
	redistest.Eventually(t, soon, "both logs are being read", func() bool {
		return strings.Count(clientList(t, server), "cmd=xread ") >= 2
	})
	conn := server.Client().Conn() // not one of those that are closed
	defer conn.Close()
	list, err := conn.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(list) {
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		if !strings.Contains(line, "cmd=xread ") && !strings.Contains(line, "cmd=client|list") {
			if err := conn.Do(t.Context(), "client", "kill", "id", id).Err(); err != nil {
				t.Error(err)
			}
		}
	}
}

func clientList(t *testing.T, server *redistest.Server) string {
	t.Helper()
	list, err := server.Client().ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return list
}
