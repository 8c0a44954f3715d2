package cache_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// remoteOnly returns two instances without a local tier.
func remoteOnly(t *testing.T) (s *cachetest.Server, a, b *instance) {
	s = cachetest.NewServer()
	one := func() *instance {
		r := s.Remote()
		o := options(r)
		o.RemoteOnly = true
		o.Tags = func(_, v string) []string { return strings.Fields(v)[1:] }
		return &instance{newCache(t, o), r}
	}
	return s, one(), one()
}

func TestRemoteOnlyAsksAtEachRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := remoteOnly(t)
		wantLoad(t, a, "k", constant("v red"), "v red")
		for range 3 {
			wantGet(t, a, "k", "v red")
			wantLoad(t, b, "k", loading(t), "v red")
		}
		if a.remote.Calls("get") != 4 || b.remote.Calls("get") != 3 {
			t.Errorf("%d and %d GETs, want 4 and 3", a.remote.Calls("get"), b.remote.Calls("get"))
		}
		if n := a.Stats().LocalEntries + b.Stats().LocalEntries; n != 0 {
			t.Errorf("%d local entries", n)
		}
	})
}

// However late the entry of the log is, a call that begins after an Invalidate finds nothing
// that was declared wrong: not a record of a tag, not a read or a load under way.
func TestRemoteOnlyIsExact(t *testing.T) {
	for name, do := range map[string]func(*testing.T, *instance){
		"key": func(t *testing.T, i *instance) { invalidate(t, i, "k") },
		"tag": func(t *testing.T, i *instance) {
			if err := i.InvalidateTags(t.Context(), "red"); err != nil {
				t.Error(err)
			}
		},
		"all": func(t *testing.T, i *instance) {
			if err := i.InvalidateAll(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		for _, lag := range []time.Duration{0, logLag} {
			t.Run(name+" after "+lag.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					defer time.Sleep(10 * logLag)
					_, a, b := remoteOnly(t)
					wantLoad(t, a, "k", constant("old red"), "old red")
					wantGet(t, b, "k", "old red")
					a.remote.Inject(on("log", cachetest.Fault{Delay: lag}))
					do(t, b)
					wantMiss(t, a, "k")
					wantLoad(t, a, "k", constant("new red"), "new red")
				})
			})
			t.Run(name+" during a load, told after "+lag.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					defer time.Sleep(10 * logLag)
					_, a, b := remoteOnly(t)
					wantLoad(t, a, "other", constant("v red"), "v red") // the positions are recorded
					var src source
					load, read, finish := src.gated()
					early := call(t, func() (string, error) {
						return a.GetOrLoad(t.Context(), "k", func(ctx ctx, k string) (string, error) {
							v, err := load(ctx, k)
							return v + " red", err
						})
					})
					<-read
					a.remote.Inject(on("log", cachetest.Fault{Delay: lag}))
					src.write()
					do(t, b)
					later := call(t, func() (string, error) {
						return a.GetOrLoad(t.Context(), "k", func(ctx, string) (string, error) { return src.now() + " red", nil })
					})
					synctest.Wait()
					close(finish)
					if v := <-early; v != "v0 red" {
						t.Errorf("the early caller got %q", v)
					}
					if v := <-later; v != "v1 red" {
						t.Errorf("the later caller got %q", v)
					}
				})
			})
		}
	}
}

// Callers of one instance share a load, also of a key that others have invalidated before
// they came.
func TestRemoteOnlySharesLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := remoteOnly(t)
		var src source
		load, read, finish := src.gated()
		calls := []<-chan string{call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", load) })}
		<-read
		for range 100 {
			calls = append(calls, call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", loading(t)) }))
		}
		synctest.Wait()
		close(finish)
		for _, c := range calls {
			if v := <-c; v != "v0" {
				t.Errorf("a caller got %q", v)
			}
		}
	})
}

// A caller whose read another one has begun knows, like that one, that the load under way is
// of now.
func TestRemoteOnlySharesLoadsAfterASharedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		r := &hooked{Remote: s.Remote()}
		o := options(r)
		o.RemoteOnly = true
		a := newCache(t, o)
		var src source
		load, read, finish := src.gated()
		first := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", load) })
		<-read
		r.Inject(held("get", time.Millisecond))
		get := func() (string, error) { return a.GetOrLoad(t.Context(), "k", loading(t)) }
		readers := make(chan (<-chan string), 1)
		r.once(2, func() { // when the second call has begun, and has not read
			readers <- call(t, get)
			synctest.Wait()
		})
		second := call(t, get)
		time.Sleep(time.Second)
		close(finish)
		for _, c := range []<-chan string{first, second, <-readers} {
			if v := <-c; v != "v0" {
				t.Errorf("a caller got %q", v)
			}
		}
		if n := r.Calls("get"); n != 2 {
			t.Errorf("%d GETs: the read was not shared", n)
		}
	})
}

// Without the remote tier a call does not take the value of a load that began before it.
func TestRemoteOnlyWithoutTheRemoteTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := remoteOnly(t)
		a.remote.Inject(func(string) cachetest.Fault { return cachetest.Fault{Err: errDown} })
		var src source
		load, read, finish := src.gated()
		early := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", load) })
		<-read
		src.write()
		slow := func(ctx ctx, k string) (string, error) {
			time.Sleep(time.Second)
			return src.load(ctx, k)
		}
		var later []<-chan string
		for range 100 {
			later = append(later, call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", slow) }))
		}
		synctest.Wait()
		close(finish)
		if v := <-early; v != "v0" {
			t.Errorf("the early caller got %q", v)
		}
		for _, c := range later {
			if v := <-c; v != "v1" {
				t.Errorf("a later caller got %q", v)
			}
		}
		if n := src.loads.Load(); n != 2 {
			t.Errorf("%d loads, want 2", n)
		}
		wantLoad(t, a, "k", src.load, "v1") // nothing was kept
		if n := src.loads.Load(); n != 3 {
			t.Errorf("%d loads, want 3", n)
		}
	})
}

func TestRemoteOnlyOptions(t *testing.T) {
	o := cache.Options[string, string]{Name: "c", TTL: ttl, RemoteOnly: true, Local: local.Options{MaxEntries: 1}, MaxPayload: -1}
	_, err := cache.New(o)
	for _, want := range []string{"RemoteOnly needs a Remote", "Local is set", "MaxPayload is negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v; want %q", err, want)
		}
	}
}

// A remote tier that hangs while a fill is under way costs a call one budget in all: the
// wait for the fill, the look, and the wait to join.
func TestRemoteOnlyPaysOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := remoteOnly(t)
		hangsFromTheFillOn(a.remote)
		wantAnswer(t, a, "k", constant("v red"), "v red")
		start := time.Now()
		var later []<-chan string
		for range 3 {
			later = append(later, call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", constant("w red")) }))
		}
		for _, c := range later {
			if v := <-c; v != "w red" {
				t.Errorf("a caller got %q", v)
			}
		}
		if took := time.Since(start); took > cachetest.DefaultBudget {
			t.Errorf("they waited %v", took)
		}
	})
}

// hooked calls hook once, when it is asked for its Budget for the nth time from now.
type hooked struct {
	*cachetest.Remote
	hook atomic.Pointer[func()]
	nth  atomic.Int32
}

func (r *hooked) Budget() time.Duration {
	if r.nth.Add(-1) == 0 {
		(*r.hook.Swap(nil))()
	}
	return r.Remote.Budget()
}

func (r *hooked) once(nth int32, hook func()) {
	r.hook.Store(&hook)
	r.nth.Store(nth)
}

// With a Key function the log's names lead to keys only while they are indexed. A load is,
// also if its name was forgotten since the remote tier was asked.
func TestRemoteOnlyIndexesItsLoads(t *testing.T) {
	type key struct{ name string }
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		one := func(r cache.Remote) *cache.Cache[key, string] {
			return newCache(t, cache.Options[key, string]{
				Name: "test", TTL: time.Minute, Remote: r, RemoteOnly: true, Key: func(k key) string { return k.name },
			})
		}
		r := &hooked{Remote: s.Remote()}
		a, b := one(r), one(s.Remote())
		synctest.Wait()
		asked := false
		r.Inject(func(op string) cachetest.Fault {
			if op == "get" && !asked {
				asked = true
				r.once(1, func() { _, _ = a.Get(t.Context(), key{"other"}) }) // forgets what is not held
			}
			return cachetest.Fault{}
		})
		value, read, finish := "old", make(chan struct{}), make(chan struct{})
		go func() {
			_, _ = a.GetOrLoad(t.Context(), key{"k"}, func(context.Context, key) (string, error) {
				v := value
				close(read)
				<-finish
				return v, nil
			})
		}()
		<-read
		value = "new"
		if err := b.Invalidate(t.Context(), key{"k"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		got := make(chan string, 1)
		go func() {
			v, _ := a.GetOrLoad(t.Context(), key{"k"}, func(context.Context, key) (string, error) { return value, nil })
			got <- v
		}()
		synctest.Wait()
		close(finish)
		if v := <-got; v != "new" {
			t.Errorf("a call that began after Invalidate had returned got %q", v)
		}
	})
}
