package redis_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// writes are the names of the commands that a client sends and that write, in their order.
type writes struct {
	mu    sync.Mutex // guards names
	names []string
}

func (w *writes) note(cmds ...goredis.Cmder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cmd := range cmds {
		switch name := strings.TrimSuffix(cmd.Name(), "sha"); name {
		case "eval", "xadd", "unlink", "del", "set":
			w.names = append(w.names, name)
		}
	}
}

// taken returns what was noted since it was called last. A script that a node of a
// Cluster did not know is sent twice, which counts once.
func (w *writes) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Compact(w.names)
	w.names = nil
	return names
}

// What is invalidated is deleted first, and told then. The other way round somebody who
// was told could read, and keep, what is deleted later. The mark of the log is written last:
// redis/complete.go says why. Of a tag the position is recorded
// between two entries: redis/tags.go says why.
func TestWhatIsInvalidatedIsGoneBeforeItIsTold(t *testing.T) {
	t.Parallel()
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 3)
	clients := map[string]goredis.UniversalClient{
		"one server": goredis.NewClient(&goredis.Options{Addr: server.Addr()}),
		"a Cluster":  goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()}),
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			defer client.Close()
			var w writes
			a := enterWith(t, client, redis.Options{}, cache.Options[string, string]{Tags: tagsOf})
			client.AddHook(noted(w.note))
			for what, c := range map[string]struct {
				do   func()
				want []string
			}{
				"Invalidate":     {func() { invalidate(t, a, "k") }, []string{"eval", "xadd", "set"}},
				"InvalidateTags": {func() { invalidateTags(t, a, "t") }, []string{"xadd", "set", "eval", "xadd", "set"}},
				"InvalidateAll":  {func() { invalidateAll(t, a) }, []string{"xadd", "set", "eval", "xadd", "set"}},
				"Mutate": {func() {
					err := a.Mutate(t.Context(), []string{"k"}, func(context.Context) error {
						if got, want := w.taken(), []string{"eval", "xadd", "set"}; !slices.Equal(got, want) {
							t.Errorf("before Mutate writes it sends %q, want %q", got, want)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}, []string{"eval", "xadd", "set"}},
			} {
				w.taken()
				c.do()
				if got := w.taken(); !slices.Equal(got, c.want) {
					t.Errorf("%s sends %q, want %q", what, got, c.want)
				}
			}
		})
	}
}
