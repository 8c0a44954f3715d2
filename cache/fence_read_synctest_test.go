package cache_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

// TestInvalidateDuringRemoteRead forces the interleavings that the two drops, the
// doom of flights and their registration before the read close: a flight has the
// old value of the remote tier in its hands while Invalidate is at work. It is for
// the flight's caller alone.
func TestInvalidateDuringRemoteRead(t *testing.T) {
	calls := map[string]func(*testing.T, *instance) (string, error){
		"Get":       func(t *testing.T, a *instance) (string, error) { return a.Get(t.Context(), "k") },
		"GetOrLoad": func(t *testing.T, a *instance) (string, error) { return a.GetOrLoad(t.Context(), "k", loading(t)) },
	}
	const ms = time.Millisecond
	for when, at := range map[string]struct {
		read, held          time.Duration // when the flight reads, and how long its reply is held back
		invalidate, deleted time.Duration // when Invalidate drops, and how long it takes to delete
	}{
		"read before the first drop, published after the second":  {read: 0, held: 20 * ms, invalidate: 10 * ms, deleted: 0},
		"read before the first drop, published before the second": {read: 0, held: 20 * ms, invalidate: 10 * ms, deleted: 20 * ms},
		"read between the drops, published after the second":      {read: 10 * ms, held: 30 * ms, invalidate: 0, deleted: 20 * ms},
		"read between the drops, published before the second":     {read: 10 * ms, held: 10 * ms, invalidate: 0, deleted: 30 * ms},
	} {
		for name, call := range calls {
			t.Run(name+"/"+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, a, b := pair(t)
					var src source
					wantLoad(t, b, "k", src.load, "v0")
					src.write()
					a.remote.Inject(func(op string) cachetest.Fault {
						return map[string]cachetest.Fault{"get": {Hold: at.held}, "delete": {Delay: at.deleted}}[op]
					})
					var read sync.WaitGroup
					read.Go(func() {
						time.Sleep(at.read)
						if v, err := call(t, a); v != "v0" || err != nil {
							t.Errorf("the flight's caller got %q, %v: it did not read the old value", v, err)
						}
					})
					time.Sleep(at.invalidate)
					invalidate(t, a, "k")
					a.remote.Inject(nil)
					wantMiss(t, a, "k") // and joins no flight from before
					read.Wait()
					wantMiss(t, a, "k")
					wantLoad(t, a, "k", src.load, "v1")
				})
			})
		}
	}
}
