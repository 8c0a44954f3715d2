package cache_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// gaps are what may become of a log that an instance cannot read, and whether the
// instance can tell that it missed nothing.
var gaps = map[string]struct {
	happens func(*cachetest.Server)
	gap     bool
}{
	"cut":     {func(*cachetest.Server) {}, false},
	"trimmed": {(*cachetest.Server).TrimLog, true},
	"wiped":   {(*cachetest.Server).Wipe, true},
}

// withGaps returns an instance that counts its gaps in a trace.
func withGaps(t *testing.T, s *cachetest.Server) (*instance, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	o := tagged(nil)
	o.Trace = &cache.Trace{Gap: func(ctx) { n.Add(1) }}
	return newInstanceWith(t, s, o), &n
}

// TestCutOff: whatever A invalidates while B is cut off, B does not serve once it can
// read the log again. What else it holds it keeps, if it is sure.
func TestCutOff(t *testing.T) {
	for name, g := range gaps {
		for what, declare := range map[string]func(*testing.T, wide){
			"key": func(t *testing.T, a wide) { invalidate(t, a, "k") },
			"tag": func(t *testing.T, a wide) { invalidateTags(t, a, "red") },
			"all": func(t *testing.T, a wide) { invalidateAll(t, a) },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := cachetest.NewServer()
					a := newTagged(t, s)
					b, traced := withGaps(t, s)
					wantLoad(t, b, "k", constant("old red"), "old red")
					wantLoad(t, b, "cold", constant("old red"), "old red")
					b.remote.CutLog()
					if b.Stats().LogFollowed {
						t.Error("the instance says that it reads the log")
					}
					declare(t, a)
					wantLoad(t, b, "other", constant("v"), "v")
					time.Sleep(10 * time.Second)
					g.happens(s)
					b.remote.MendLog()
					synctest.Wait()
					if g.gap && b.Stats().LocalEntries != 0 {
						t.Error("what cannot be relied on still takes up space")
					}

					wantMiss(t, b, "k")
					if kept := heldLocally(t, b, "other"); kept != (!g.gap && what != "all") {
						t.Errorf("what was not invalidated is kept: %v", kept)
					}
					wantLoad(t, b, "k", constant("new red"), "new red")
					want := 0
					if g.gap {
						want = 1
					}
					st := b.Stats()
					if int(st.Gaps) != want || int(traced.Load()) != want || !st.LogFollowed {
						t.Errorf("gaps: %d, traced %d, want %d; following: %v", st.Gaps, traced.Load(), want, st.LogFollowed)
					}
					if !heldLocally(t, b, "k") {
						t.Error("what was loaded since is not kept")
					}
				})
			})
		}
	}
}

// Nothing was appended while the log could not be read: nothing is dropped.
func TestCutOffFromASilentLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a := newTagged(t, s)
		b, traced := withGaps(t, s)
		invalidate(t, a, "another")
		synctest.Wait()
		wantLoad(t, b, "k", constant("v red"), "v red")
		for range 3 {
			b.remote.CutLog()
			s.TrimLog()
			b.remote.MendLog()
		}
		synctest.Wait()
		if !heldLocally(t, b, "k") || b.Stats().Gaps != 0 || traced.Load() != 0 {
			t.Fatalf("stats: %+v", b.Stats())
		}
		invalidate(t, a, "k")
		synctest.Wait()
		wantMiss(t, b, "k")
	})
}

// While the log cannot be read, records of the remote tier are judged by what that
// says of their tags.
func TestReadsWhileCutOff(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		_, a, b := taggedPair(t)
		wantLoad(t, a, "k", constant("old"), "old")
		synctest.Wait() // the positions of its tags are recorded
		b.remote.CutLog()
		wantGet(t, b, "k", "old")
		invalidate(t, b, "k")
		wantLoad(t, a, "k", constant("old"), "old")
		declare(t, a)
		wantMiss(t, b, "k")
		wantLoad(t, b, "k", constant("new"), "new")
		if !heldLocally(t, b, "k") {
			t.Error("what was loaded since is not kept")
		}
	})
}

// TestReadUnderWayInAGap: the flight has read, or loaded, what was invalidated in the
// gap, and ends after it.
func TestReadUnderWayInAGap(t *testing.T) {
	for name, g := range gaps {
		for _, how := range []string{"read", "load", "load without a lease"} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, a, b := taggedPair(t)
					var src source
					var finish func() string
					switch how {
					case "read":
						wantLoad(t, a, "k", src.load, "v0")
						b.remote.Inject(on("get", cachetest.Fault{Hold: late}))
						got := call(t, func() (string, error) { return b.Get(t.Context(), "k") })
						finish = func() string { return <-got }
					case "load without a lease":
						b.remote.Inject(on("lease", cachetest.Fault{Err: errDown}))
						finish = loadLate(t, b, &src)
					default:
						finish = loadLate(t, b, &src)
					}
					synctest.Wait()
					b.remote.CutLog()
					src.write()
					invalidate(t, a, "k")
					g.happens(s)
					b.remote.MendLog()
					synctest.Wait()
					if v := finish(); v != "v0" && v != cache.ErrMiss.Error() {
						t.Fatalf("the caller who was there got %q", v)
					}
					synctest.Wait()
					b.remote.Inject(nil)
					wantMiss(t, b, "k")
					wantMiss(t, a, "k")
				})
			})
		}
	}
}

// An instance that starts while the log cannot be read has missed whatever was
// appended before.
func TestStartWhileCutOff(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		s, a, _ := taggedPair(t)
		wantLoad(t, a, "k", constant("old"), "old")
		declare(t, a)
		r := s.Remote()
		r.CutLog()
		b := newCache(t, tagged(r))
		if b.Stats().LogFollowed {
			t.Error("the instance says that it reads the log")
		}
		wantMiss(t, b, "k")
		r.MendLog()
		synctest.Wait()
		if !b.Stats().LogFollowed {
			t.Error("the instance says that it does not read the log")
		}
		wantMiss(t, b, "k")
		wantLoad(t, b, "k", constant("new"), "new")
		wantGet(t, a, "k", "new")
	})
}

// TestNothingIsLostUnderLoad: A invalidates faster than B applies it, and B reads all
// the while. In the end it serves nothing that is older than the last invalidation.
func TestNothingIsLostUnderLoad(t *testing.T) {
	const keys, times = 1000, 20
	for name, mend := range map[string]func(*testing.T, *instance){
		"slow": func(*testing.T, *instance) {},
		"slow and cut off": func(t *testing.T, b *instance) {
			for range 10 {
				b.remote.CutLog()
				time.Sleep(time.Millisecond)
				b.remote.MendLog()
				time.Sleep(time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				a := newInstance(t, s)
				o := options(nil)
				o.Local = local.Options{MaxEntries: 2 * keys}
				b := newInstanceWith(t, s, o)
				var versions [keys]atomic.Int64
				read := func(i int) (string, error) {
					return b.GetOrLoad(t.Context(), fmt.Sprint(i), func(ctx, string) (string, error) {
						return fmt.Sprint(versions[i].Load()), nil
					})
				}
				for i := range keys {
					_, _ = read(i)
				}
				slowLog(t, a, 10*time.Millisecond) // or it would go through the log for each entry
				slowLog(t, b, 10*time.Millisecond)
				go mend(t, b)
				var reads atomic.Int64
				done := make(chan struct{})
				go func() {
					for range keys * times / 2 {
						_, _ = read(rand.IntN(keys))
						reads.Add(1)
						time.Sleep(2 * time.Microsecond)
					}
					close(done)
				}()
				for n := range keys * times {
					i := n % keys
					versions[i].Add(1)
					invalidate(t, a, fmt.Sprint(i))
					time.Sleep(time.Microsecond)
				}
				<-done
				deliver(time.Second)
				for i := range keys {
					if v, err := read(i); err != nil || v != fmt.Sprint(times) {
						t.Fatalf("key %d: %q, %v, want version %d", i, v, err, times)
					}
				}
				st := b.Stats()
				if st.InvalidationsReceived != keys*times || st.Gaps != 0 {
					t.Fatalf("told of %d of %d, %d gaps", st.InvalidationsReceived, keys*times, st.Gaps)
				}
				if st.LocalHits == 0 || reads.Load() == 0 {
					t.Fatalf("nothing was read meanwhile: %+v", st)
				}
			})
		})
	}
}

// A server that lost everything lost the record of the whole cache, too. Without that record
// the values that are filled from then on are misses for an instance that starts later.
func TestRecordsAreMadeAgainAfterALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		wantLoad(t, a, "before", constant("v"), "v")
		a.remote.CutLog()
		invalidate(t, b, "unrelated")
		s.Wipe()
		a.remote.MendLog()
		deliver(0)
		if n := a.Stats().Gaps; n != 1 {
			t.Fatalf("%d gaps", n)
		}
		wantLoad(t, a, "k", constant("v"), "v")
		invalidate(t, b, "unrelated")
		deliver(0)
		late := newInstance(t, s)
		deliver(0)
		wantGet(t, late, "k", "v")
	})
}
