package cache_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

func manyTags(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprint("t", i)
	}
	return tags
}

// TestUnusableTags: the value is returned and stored in no tier.
func TestUnusableTags(t *testing.T) {
	for name, tags := range map[string][]string{
		"a thousand": manyTags(1000),
		"129":        manyTags(cache.MaxTags + 1),
		"an empty":   {"good", ""},
		"a huge":     {strings.Repeat("t", cache.MaxTagLength+1), "good"},
	} {
		t.Run(name, func(t *testing.T) {
			bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
				var fills []cache.FillInfo
				o.Tags = func(string, string) []string { return tags }
				o.Trace = &cache.Trace{Fill: func(_ ctx, i cache.FillInfo) { fills = append(fills, i) }}
				c := newCache(t, o)
				var src source
				wantLoad(t, c, "k", src.load, "v0")
				src.write()
				wantLoad(t, c, "k", src.load, "v1")
				if st := c.Stats(); st.TagErrors != 2 || st.Fills != 0 || st.LocalEntries != 0 || src.loads.Load() != 2 {
					t.Errorf("stats: %+v", st)
				}
				for _, f := range fills {
					if f.Outcome != cache.FillFailed || f.Err == nil || f.Key != "k" {
						t.Errorf("traced: %+v", f)
					}
				}
				if len(fills) != 2 {
					t.Errorf("%d fills were traced", len(fills))
				}
				if err := c.Set(t.Context(), "k", "v"); err == nil {
					t.Error("Set: no error")
				} else if strings.Contains(err.Error(), "good") || strings.Contains(err.Error(), "ttt") {
					t.Errorf("Set: the error names tags: %v", err)
				}
				wantMiss(t, c, "k")
				if r, ok := o.Remote.(*cachetest.Remote); ok && (r.Calls("fill") != 0 || r.Calls("seize") != 0) {
					t.Error("the value was sent to the remote tier")
				}
			})
		})
	}
}

// TestUnusableTagsAreReportedOnce: each load counts, and one line says what to do.
func TestUnusableTagsAreReportedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		tags   []string
		advice string
	}{
		"too many": {manyTags(cache.MaxTags + 1), "one tag for the whole list"},
		"too long": {[]string{strings.Repeat("t", cache.MaxTagLength+1)}, "a shorter one"},
	} {
		t.Run(name, func(t *testing.T) {
			bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
				var log strings.Builder
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				o.Tags = func(string, string) []string { return c.tags }
				near := newCache(t, o)
				for range 100 {
					wantLoad(t, near, "k", constant("v"), "v")
				}
				if n := near.Stats().TagErrors; n != 100 {
					t.Errorf("%d errors are counted, want 100", n)
				}
				if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, c.advice) {
					t.Errorf("the log says %q, want one line with %q", said, c.advice)
				}
			})
		})
	}
}

// A Set that is refused leaves what was there.
func TestSetWithUnusableTagsChangesNothing(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Tags = words
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("v"), "v")
		if err := c.Set(t.Context(), "k", "v "+strings.Repeat("t", cache.MaxTagLength+1)); err == nil {
			t.Fatal("Set: no error")
		}
		wantLoad(t, c, "k", loading(t), "v")
	})
}

func TestUnusableTagsWithoutTheRemoteTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := taggedPair(t)
		o := tagged(a.remote)
		o.Tags = func(string, string) []string { return []string{""} }
		c := a.replace(t, o)
		a.remote.Inject(on("get", cachetest.Fault{Err: errDown}))
		wantLoad(t, c, "k", constant("v"), "v")
		if st := c.Stats(); st.TagErrors != 1 || st.LocalEntries != 0 {
			t.Fatalf("stats: %+v", st)
		}
	})
}

// As many and as long as may be, and the same one over and over.
func TestUsableTags(t *testing.T) {
	most := manyTags(cache.MaxTags)
	for i := range most {
		most[i] += strings.Repeat("ж", (cache.MaxTagLength-len(most[i]))/2)
	}
	for name, tags := range map[string][]string{
		"most":   most,
		"same":   strings.Fields(strings.Repeat("t ", 1000)),
		"binary": {"\x00", "\xff\xfe", "a:b", ":", "test::x", " "},
		"none":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := tagged(nil)
				o.Tags = func(string, string) []string { return tags }
				a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
				for _, tag := range tags[:min(len(tags), 6)] {
					wantLoad(t, a, "k", constant("v"), "v")
					wantGet(t, b, "k", "v")
					wantGet(t, newInstanceWith(t, s, o), "k", "v")
					invalidateTags(t, a, tag)
					synctest.Wait()
					for _, c := range []*instance{a, b, newInstanceWith(t, s, o)} {
						wantMiss(t, c, "k")
					}
				}
				wantLoad(t, a, "k", constant("v"), "v")
				wantGet(t, newInstanceWith(t, s, o), "k", "v")
				if n := a.Stats().TagErrors; n != 0 {
					t.Errorf("%d tag errors", n)
				}
			})
		})
	}
}

func TestInvalidateTagsOfWhatIsNoTag(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		plain := newCache(t, o)
		for _, tags := range [][]string{nil, {"t"}} {
			if err := plain.InvalidateTags(t.Context(), tags...); err == nil {
				t.Error("InvalidateTags without Options.Tags: no error")
			}
		}
		invalidateAll(t, plain)

		o.Name, o.Tags = "tagged", words
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("v red"), "v red")
		for _, tags := range [][]string{{""}, {"red", ""}, {"red", strings.Repeat("t", cache.MaxTagLength+1)}} {
			if err := c.InvalidateTags(t.Context(), tags...); err == nil {
				t.Errorf("InvalidateTags of %.20q: no error", tags)
			}
		}
		invalidateTags(t, c)
		wantLoad(t, c, "k", loading(t), "v red")
		invalidateTags(t, c, manyTags(3000)...)
		wantLoad(t, c, "k", loading(t), "v red")
		invalidateTags(t, c, append(manyTags(3000), "red", strings.Repeat("t", cache.MaxTagLength))...)
		wantMiss(t, c, "k")
		_ = c.Close()
		if err := c.InvalidateTags(t.Context(), "red"); err != cache.ErrClosed {
			t.Errorf("InvalidateTags after Close: %v", err)
		}
		if err := c.InvalidateAll(t.Context()); err != cache.ErrClosed {
			t.Errorf("InvalidateAll after Close: %v", err)
		}
	})
}

// TestWideInvalidationThatFailed: whatever step of it fails, this instance reads no
// record from before until one succeeds.
func TestWideInvalidationThatFailed(t *testing.T) {
	for _, op := range []string{"append", "record"} {
		for name, fault := range map[string]cachetest.Fault{"refused": {Err: errDown}, "hung": {Delay: time.Hour}} {
			t.Run(op+" "+name, func(t *testing.T) {
				ways := map[string]func(*instance) error{
					"tag": func(a *instance) error { return a.InvalidateTags(t.Context(), "red", "blue") },
					"all": func(a *instance) error { return a.InvalidateAll(t.Context()) },
				}
				for way, declare := range ways {
					t.Run(way, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							_, a, b := taggedPair(t)
							wantLoad(t, b, "k", constant("old red"), "old red")
							wantLoad(t, b, "other", constant("old"), "old")
							wantGet(t, a, "k", "old red")
							a.remote.Inject(on(op, fault))
							start := time.Now()
							var remote *cache.RemoteError
							if err := declare(a); !errors.As(err, &remote) || remote.Op != "invalidate tags" || strings.Contains(err.Error(), "red") {
								t.Fatalf("the error is %v", err)
							} else if fault.Err != nil && !errors.Is(err, fault.Err) || time.Since(start) > cachetest.DefaultBudget {
								t.Fatalf("%v after %v", err, time.Since(start))
							}
							if a.Stats().Unconfirmed == 0 {
								t.Error("nothing is distrusted")
							}
							wantMiss(t, a, "k")
							deliver(time.Second) // the attempt that follows fails, too, and is made again
							a.remote.Inject(nil)
							wantMiss(t, a, "k")
							wantMiss(t, a, "k")
							if way == "tag" {
								wantGet(t, a, "other", "old")
							}
							wantLoad(t, a, "k", constant("new red"), "new red")
							if !heldLocally(t, a, "k") {
								t.Error("what was loaded since is not kept locally")
							}
							if err := declare(a); err != nil {
								t.Fatal(err)
							}
							synctest.Wait()
							if n := a.Stats().Unconfirmed; n != 0 {
								t.Errorf("%d names are distrusted", n)
							}
							wantMiss(t, a, "k")
							wantMiss(t, b, "k")
							wantLoad(t, b, "k", constant("newest red"), "newest red")
							wantGet(t, a, "k", "newest red")
						})
					})
				}
			})
		}
	}
}
