package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

// barTime is for how long, at most, a tag is barred while its position is recorded.
const barTime = 10 * time.Second

// TestReadWhileATagIsRecorded: whoever starts meanwhile cannot know whether the value
// is right; when the position is recorded it does.
func TestReadWhileATagIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := taggedPair(t)
		a.remote.Inject(on("end", cachetest.Fault{Delay: late}))
		wantLoad(t, a, "k", constant("v red"), "v red")
		invalidate(t, a, "another")
		later := newTagged(t, s)
		wantMiss(t, later, "k")
		deliver(2 * late)
		wantGet(t, newTagged(t, s), "k", "v red")
		wantGet(t, later, "k", "v red")
	})
}

// TestRecorderDies: what it has barred is not barred for ever, and not for who has met
// the bar either.
func TestRecorderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := taggedPair(t)
		a.remote.Inject(on("end", cachetest.Fault{Err: errDown}))
		wantLoad(t, a, "k", constant("v red"), "v red")
		invalidate(t, a, "another")
		later := newTagged(t, s)
		wantMiss(t, later, "k")
		time.Sleep(barTime)
		wantMiss(t, newTagged(t, s), "k")
		wantLoad(t, later, "other", constant("v red"), "v red")
		deliver(late)
		invalidate(t, later, "another")
		for _, c := range []*instance{newTagged(t, s), newTagged(t, s)} {
			wantGet(t, c, "other", "v red")
		}
		third := newTagged(t, s)
		wantLoad(t, third, "third", constant("v red"), "v red")
		wantGet(t, later, "third", "v red")
	})
}

// TestRecordIsTriedAgain: a tag that could not be recorded is, with the next fill after
// the bar has gone. A fill meanwhile changes nothing about that.
func TestRecordIsTriedAgain(t *testing.T) {
	for _, op := range []string{"end", "log"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, b := taggedPair(t)
				if op == "end" {
					a.remote.Inject(on("end", cachetest.Fault{Err: errDown}))
				} else {
					slowLog(t, a, time.Second)
					invalidate(t, b, "another") // it is not told of all that there is, in time
				}
				wantLoad(t, a, "k", constant("v red"), "v red")
				deliver(2 * time.Second)
				a.remote.Inject(nil)
				wantLoad(t, a, "meanwhile", constant("v red"), "v red")
				time.Sleep(barTime)
				invalidate(t, b, "another")
				synctest.Wait()
				wantLoad(t, a, "after", constant("v red"), "v red")
				synctest.Wait()
				invalidate(t, b, "another")
				wantGet(t, newTagged(t, s), "after", "v red")
			})
		})
	}
}

// TestOthersTryAgainAfterABar: who finds the bar of an instance that has died does not
// take the tag for recorded.
func TestOthersTryAgainAfterABar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		a.remote.Inject(on("end", cachetest.Fault{Err: errDown}))
		wantLoad(t, a, "k", constant("v red"), "v red")
		deliver(late)
		wantLoad(t, b, "meanwhile", constant("v red"), "v red")
		time.Sleep(barTime)
		wantLoad(t, b, "after", constant("v red"), "v red")
		deliver(late)
		invalidate(t, b, "another")
		wantGet(t, newTagged(t, s), "after", "v red")
	})
}

// TestWhoGivesUpTakesItsBarAway: the next fill of anybody records the tag.
func TestWhoGivesUpTakesItsBarAway(t *testing.T) {
	for name, fault := range map[string]func(*testing.T, *instance, *instance){
		"an error": func(t *testing.T, a, _ *instance) {
			a.remote.Inject(on("end", cachetest.Fault{Err: errDown}))
			wantLoad(t, a, "k", constant("v red"), "v red")
		},
		"a tag that changed": func(t *testing.T, a, b *instance) {
			a.remote.Inject(on("end", cachetest.Fault{Delay: late}))
			wantLoad(t, a, "k", constant("v red"), "v red")
			time.Sleep(late / 2)
			invalidateTags(t, b, "red")
		},
	} {
		for _, who := range []string{"another", "itself"} {
			t.Run(name+", "+who, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, a, b := taggedPair(t)
					fault(t, a, b)
					deliver(2 * late)
					a.remote.Inject(nil)
					next := b
					if who == "itself" {
						next = a
						if name == "an error" { // after which it waits before it tries again
							time.Sleep(barTime)
						}
					}
					invalidate(t, b, "another")
					synctest.Wait()
					wantLoad(t, next, "next", constant("v red"), "v red")
					synctest.Wait()
					wantGet(t, newTagged(t, s), "next", "v red")
				})
			})
		}
	}
}

// TestTagIsInvalidatedWhileItIsRecorded: at each step, and perhaps
// evicted, and perhaps missed. The old value
// is right for nobody.
func TestTagIsInvalidatedWhileItIsRecorded(t *testing.T) {
	for step, fault := range map[string]func() func(string) cachetest.Fault{
		"on its way to the bar":   func() func(string) cachetest.Fault { return on("record", cachetest.Fault{Delay: late}) },
		"on its way from the bar": func() func(string) cachetest.Fault { return on("record", cachetest.Fault{Hold: late}) },
		"on its way to the end":   func() func(string) cachetest.Fault { return on("end", cachetest.Fault{Delay: late}) },
		"on its way from the end": func() func(string) cachetest.Fault { return on("end", cachetest.Fault{Hold: late}) },
		"on its way to the record": func() func(string) cachetest.Fault {
			records := 0
			return func(op string) cachetest.Fault {
				if op != "record" {
					return cachetest.Fault{}
				}
				if records++; records == 2 {
					return cachetest.Fault{Delay: late}
				}
				return cachetest.Fault{}
			}
		},
	} {
		for _, after := range []func(*cachetest.Server){
			func(*cachetest.Server) {},
			(*cachetest.Server).EvictTags,
			func(s *cachetest.Server) { s.EvictTags(); s.TrimLog() },
		} {
			for _, slow := range []bool{false, true} {
				t.Run(step, func(t *testing.T) {
					inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
						s, a, b := taggedPair(t)
						inject, delay := fault(), time.Duration(0)
						if slow {
							delay = late * 3 / 2
						}
						a.remote.Inject(func(op string) cachetest.Fault {
							if op == "log" {
								return cachetest.Fault{Delay: delay}
							}
							return inject(op)
						})
						t.Cleanup(func() { a.remote.Inject(nil); deliver(time.Second) })
						wantLoad(t, a, "k", constant("old red"), "old red")
						time.Sleep(late / 2)
						declare(t, b)
						after(s)
						wantMiss(t, newTagged(t, s), "k")
						deliver(time.Second)
						wantMiss(t, newTagged(t, s), "k")
						wantMiss(t, a, "k")
						wantMiss(t, b, "k")
						time.Sleep(barTime)
						wantMiss(t, newTagged(t, s), "k")
						wantLoad(t, b, "k", constant("new red"), "new red")
						wantGet(t, newTagged(t, s), "k", "new red")
					})
				})
			}
		}
	}
}

// TestRecordingHoldsUpNobody: a load that is stored gives its place to the next one,
// whatever is done about its tags after that.
func TestRecordingHoldsUpNobody(t *testing.T) {
	for name, fault := range map[string]func(string) cachetest.Fault{
		"slow": delayed(map[string]time.Duration{"record": 40 * time.Millisecond, "end": 40 * time.Millisecond}),
		"hung": on("record", cachetest.Fault{Delay: time.Hour}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := tagged(nil)
				o.MaxLoads = 1
				a := newInstanceWith(t, s, o)
				a.remote.Inject(fault)
				start := time.Now()
				wantLoad(t, a, "k", constant("v red"), "v red")
				wantLoad(t, a, "other", constant("v blue"), "v blue")
				if took := time.Since(start); took > 0 {
					t.Errorf("two loads took %v", took)
				}
			})
		})
	}
}

// Set costs the budget once, like Invalidate.
func TestSetCostsTheBudgetOnce(t *testing.T) {
	for name, fault := range map[string]func(string) cachetest.Fault{
		"slow": slowBy(cachetest.DefaultBudget * 2 / 5),
		"hung": delayed(map[string]time.Duration{"fill": 40 * time.Millisecond, "record": time.Hour}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, _ := taggedPair(t)
				a.remote.Inject(fault)
				t.Cleanup(func() { a.remote.Inject(nil); deliver(time.Second) })
				start := time.Now()
				_ = a.Set(t.Context(), "k", "v red")
				if took := time.Since(start); took > cachetest.DefaultBudget {
					t.Errorf("Set took %v", took)
				}
			})
		})
	}
}

// An instance that cannot read the log records nothing: it does not know what it missed.
func TestWhoIsCutOffRecordsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		a.remote.CutLog()
		wantLoad(t, a, "k", constant("v red"), "v red")
		if err := a.Set(t.Context(), "set", "v red"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := a.remote.Calls("record"); n != 0 {
			t.Fatalf("%d records were sent", n)
		}
		a.remote.MendLog()
		wantLoad(t, a, "other", constant("v red"), "v red")
		deliver(late)
		invalidate(t, b, "another")
		wantGet(t, newTagged(t, s), "other", "v red")
	})
}
