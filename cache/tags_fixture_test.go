package cache_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// words are the tags of a value: each of its words but the first, and "any".
func words(_, value string) []string { return append(strings.Fields(value)[1:], "any") }

// tagged are the options of caches whose values have their words as tags.
func tagged(remote remote.Tier) cache.Options[string, string] {
	o := options(remote)
	o.Tags = words
	return o
}

// newInstanceWith returns an instance with those options, on its own Remote, that
// starts when what others do in the background is done.
func newInstanceWith(t *testing.T, s *cachetest.Server, o cache.Options[string, string]) *instance {
	t.Helper()
	synctest.Wait()
	r := s.Remote()
	o.Remote = r
	return &instance{newCache(t, o), r}
}

func newTagged(t *testing.T, s *cachetest.Server) *instance {
	t.Helper()
	return newInstanceWith(t, s, tagged(nil))
}

// taggedPair returns two instances on one server, of values with tags.
func taggedPair(t *testing.T) (s *cachetest.Server, a, b *instance) {
	t.Helper()
	s = cachetest.NewServer()
	return s, newTagged(t, s), newTagged(t, s)
}

type wide interface {
	getter
	InvalidateTags(ctx, ...string) error
	InvalidateAll(ctx) error
}

func invalidateTags(t *testing.T, c wide, tags ...string) {
	t.Helper()
	if err := c.InvalidateTags(t.Context(), tags...); err != nil {
		t.Fatalf("InvalidateTags: %v", err)
	}
}

func invalidateAll(t *testing.T, c wide) {
	t.Helper()
	if err := c.InvalidateAll(t.Context()); err != nil {
		t.Fatalf("InvalidateAll: %v", err)
	}
}

// bothWays runs a test with each way to declare values wrong that names no key. All
// values of words have the tag "any".
func bothWays(t *testing.T, test func(t *testing.T, declare func(*testing.T, wide))) {
	ways := map[string]func(*testing.T, wide){
		"tag": func(t *testing.T, c wide) { t.Helper(); invalidateTags(t, c, "any") },
		"all": func(t *testing.T, c wide) { t.Helper(); invalidateAll(t, c) },
	}
	for name, declare := range ways {
		t.Run(name, func(t *testing.T) { test(t, declare) })
	}
}

// inEachWay is bothWays, in a bubble.
func inEachWay(t *testing.T, test func(t *testing.T, declare func(*testing.T, wide))) {
	bothWays(t, func(t *testing.T, declare func(*testing.T, wide)) {
		synctest.Test(t, func(t *testing.T) { test(t, declare) })
	})
}

// heldLocally reports whether a Get of key is a hit that asks the remote tier nothing.
func heldLocally(t *testing.T, i *instance, key string) bool {
	t.Helper()
	before := commands(i.remote)
	_, err := i.Get(t.Context(), key)
	return err == nil && commands(i.remote) == before
}

// commands counts what reads and loads send, touches apart, once all that they do in
// the background is done.
func commands(r *cachetest.Remote) (n int) {
	synctest.Wait()
	for _, op := range []string{"get", "wait", "lease", "fill", "release", "tags", "record"} {
		n += r.Calls(op)
	}
	return n
}

// slowCodec is JSON whose first Decode takes until finish is closed, and closes read
// when it begins: so a read of the remote tier can be caught after the record was
// judged.
type slowCodec struct {
	cache.JSON[string]
	caught       *atomic.Bool
	read, finish chan struct{}
}

func newSlowCodec() slowCodec {
	return slowCodec{caught: new(atomic.Bool), read: make(chan struct{}), finish: make(chan struct{})}
}

func (c slowCodec) Decode(data []byte) (string, error) {
	if c.caught.CompareAndSwap(false, true) {
		close(c.read)
		<-c.finish
	}
	return c.JSON.Decode(data)
}

// call starts a call and returns where its value arrives.
func call(t *testing.T, do func() (string, error)) <-chan string {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		v, err := do()
		if err != nil {
			v = err.Error()
		}
		got <- v
	}()
	return got
}

// deliver lets an entry of the log that is delayed by d arrive.
func deliver(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// slowLog makes entries of the log take d to an instance.
func slowLog(t *testing.T, i *instance, d time.Duration) {
	t.Helper()
	i.remote.Inject(on("log", cachetest.Fault{Delay: d}))
	t.Cleanup(func() { // nothing may be on its way when the bubble ends
		i.remote.Inject(nil)
		deliver(2 * d)
	})
}
