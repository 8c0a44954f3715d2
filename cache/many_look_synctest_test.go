package cache_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
)

// A thousand hits in the remote tier take a few goroutines.
func TestManyHitsNeedFewGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src, keys := &table{}, numbered(1000)
		wantMany(t, a, src, keys, keys...)
		synctest.Wait()
		codec := newSlowCodec()
		o := options(b.remote)
		o.Codec = codec
		c := b.replace(t, o)
		before := runtime.NumGoroutine()
		var reading int
		b.remote.Inject(func(string) cachetest.Fault {
			reading = runtime.NumGoroutine() - before
			return cachetest.Fault{}
		})
		var calls sync.WaitGroup
		calls.Go(func() { wantMany(t, c, src, keys, keys...) })
		<-codec.read
		judging := runtime.NumGoroutine() - before
		close(codec.finish)
		calls.Wait()
		if reading == 0 || reading > 20 || judging > 20 {
			t.Errorf("%d goroutines during the read and %d after it, want at most 20", reading, judging)
		}
	})
}

// Two keys were read together, and one is invalidated while the other is decoded: no copy of the
// old value stays.
func TestOneOfManyIsInvalidatedAfterItsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src := &table{}
		wantMany(t, a, src, []string{"a", "b"}, "a", "b")
		synctest.Wait()
		codec := newSlowCodec()
		o := options(b.remote)
		o.Codec = codec
		c := b.replace(t, o)
		var calls sync.WaitGroup
		calls.Go(func() { wantMany(t, c, src, []string{"a", "b"}, "a", "b") })
		<-codec.read // of a
		src.write()
		invalidate(t, c, "b")
		close(codec.finish)
		calls.Wait()
		got, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, src.load)
		wantFound(t, got, err, map[string]string{"a": "a@0", "b": "b@1"})
	})
}

// What panics or ends its goroutine for one key leaves the others as they are, and nothing under
// way, whether one goroutine looks for all of them or several do.
func TestOneOfManyPanicsBeforeTheRead(t *testing.T) {
	for name, fails := range map[string]func(){"panics": panics, "ends": runtime.Goexit} {
		for _, n := range []int{12, 300} {
			for _, remoteOnly := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d keys, remote only %v", name, n, remoteOnly), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { oneOfManyFails(t, fails, name == "panics", numbered(n), remoteOnly) })
				})
			}
		}
	}
}

func oneOfManyFails(t *testing.T, fails func(), panics bool, keys []string, remoteOnly bool) {
	_, a, b := pair(t)
	src := &table{}
	wantMany(t, a, src, keys, keys...)
	synctest.Wait()
	o := options(b.remote)
	o.RemoteOnly = remoteOnly
	o.Key = func(key string) string {
		if key == "k7" {
			fails()
		}
		return key
	}
	c := b.replace(t, o)
	func() {
		defer func() {
			if p, is := recover().(*loader.Panic); (is && p.Value == "boom") != panics {
				t.Errorf("the call panicked with %v", p)
			}
		}()
		got, err := c.GetOrLoadMany(t.Context(), keys, src.load)
		others := at(0, keys...)
		delete(others, "k7")
		if err != loader.ErrGoexit || !maps.Equal(got, others) {
			t.Errorf("GetOrLoadMany returned %q, %v", got, err)
		}
	}()
	wantMany(t, c, src, []string{"k6", "k8", "k11"}, "k6", "k8", "k11")
	src.wantCalls(t, keys)
	synctest.Wait()
	if n := c.Stats().Background; n != 0 {
		t.Errorf("%d flights are under way", n)
	}
}

// exploding is a remote tier whose read of many keys fails as no read should.
type exploding struct {
	*cachetest.Remote
	fails func()
}

func (e exploding) GetMany(ctx context.Context, keys []string, confirm bool) []remote.Reply {
	e.fails()
	return e.Remote.GetMany(ctx, keys, confirm)
}

func TestTheReadOfManyPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := exploding{cachetest.NewServer().Remote(), panics}
		c, src := newCache(t, options(&r)), &table{}
		func() {
			defer func() {
				if p, is := recover().(*loader.Panic); !is || p.Value != "boom" || !strings.Contains(string(p.Stack), "exploding") {
					t.Errorf("the call panicked with %v", p)
				}
			}()
			_, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, src.load)
			t.Errorf("GetOrLoadMany: %v", err)
		}()
		r.fails = runtime.Goexit
		if _, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, src.load); err != loader.ErrGoexit {
			t.Errorf("GetOrLoadMany: %v", err)
		}
		r.fails = func() {}
		wantMany(t, c, src, []string{"a", "b"}, "a", "b")
		src.wantCalls(t, []string{"a", "b"})
	})
}

// A cache without a local tier joins the loads of others, too.
func TestALoadOfManyWithoutALocalTierJoinsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(cachetest.NewServer().Remote())
		o.RemoteOnly = true
		c, src := newCache(t, o), &table{takes: 50 * time.Millisecond}
		var calls sync.WaitGroup
		calls.Go(func() {
			wantAnswer(t, c, "b", func(context.Context, string) (string, error) {
				time.Sleep(100 * time.Millisecond)
				return "b@0", nil
			}, "b@0")
		})
		time.Sleep(time.Millisecond)
		calls.Go(func() { wantMany(t, c, src, []string{"a", "b", "c"}, "a", "b", "c") })
		time.Sleep(time.Millisecond)
		calls.Go(func() { wantMany(t, c, src, []string{"c", "d"}, "c", "d") })
		time.Sleep(time.Millisecond)
		src.wantCalls(t, []string{"a", "c"}, []string{"d"}) // while b is being loaded
		calls.Wait()
		src.wantCalls(t)
	})
}

// A call with a deadline waits for the loads of another instance for as long as it has time for
// loads of its own, which are made at the same time.
func TestManyLoadInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		keys, src := []string{"a", "b", "c"}, &table{takes: 300 * time.Millisecond}
		wantMany(t, b, src, []string{"x"}, "x") // shows how long a load takes
		var calls sync.WaitGroup
		for _, key := range keys {
			calls.Go(func() {
				wantAnswer(t, a, key, func(context.Context, string) (string, error) {
					time.Sleep(8 * time.Second)
					return "late", nil
				}, "late")
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		got, err := b.GetOrLoadMany(ctx, keys, src.load)
		wantFound(t, got, err, at(0, keys...))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the call took %v", took)
		}
		calls.Wait()
	})
}

// A tag is dropped while a call waits for a load that began before: the call does not get the
// value of that load.
func TestAValueThatManyJoinIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(cachetest.NewServer().Remote())
		o.Tags = func(string, string) []string { return []string{"red"} }
		c, src := newCache(t, o), &table{}
		old, read, finish := make(chan string, 1), make(chan struct{}), make(chan struct{})
		go func() {
			v, _ := c.GetOrLoad(t.Context(), "a", func(context.Context, string) (string, error) {
				close(read)
				<-finish
				return "a@0", nil
			})
			old <- v
		}()
		<-read
		src.write()
		if err := c.InvalidateTags(t.Context(), "red"); err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		calls.Go(func() {
			got, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, src.load)
			wantFound(t, got, err, at(1, "a", "b"))
		})
		synctest.Wait()
		close(finish)
		calls.Wait()
		if v := <-old; v != "a@0" {
			t.Errorf("the load's own caller got %q", v)
		}
	})
}

// A call that its context has ended counts no key, also when the answers come later.
func TestManyThatAreLeftAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src, keys := &table{}, numbered(20)
		wantMany(t, a, src, keys, keys...)
		synctest.Wait()
		b.remote.Inject(slowBy(20 * time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		got, err := b.GetOrLoadMany(ctx, keys, src.load)
		if err != context.DeadlineExceeded || len(got) != 0 || time.Since(start) != 10*time.Millisecond {
			t.Errorf("GetOrLoadMany returned %q, %v after %v", got, err, time.Since(start))
		}
		time.Sleep(time.Second)
		if s := b.Stats(); s.RemoteHits != 0 || s.Misses != 0 || s.Background != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// The tags of all records that were read together are looked up together.
func TestManyLookUpTheirTagsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a := newTagged(t, s)
		keys := numbered(20)
		got, err := a.GetOrLoadMany(t.Context(), keys, func(_ context.Context, keys []string) (map[string]string, error) {
			found := make(map[string]string)
			for i, key := range keys {
				found[key] = fmt.Sprintf("v tag%d", i%3)
			}
			return found, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		invalidate(t, a, "another") // b does not know that nothing else was invalidated
		b := newTagged(t, s)
		found, err := b.GetMany(t.Context(), keys)
		wantFound(t, found, err, got)
		if n, calls := b.Stats().TagLookups, b.remote.Calls("tags"); n != 20 || calls != 1 {
			t.Errorf("%d look-ups in %d commands, want 20 in 1", n, calls)
		}
	})
}
