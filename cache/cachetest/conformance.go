package cachetest

import (
	"context"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// Harness is one implementation under test. The suite needs a new Harness for each check,
// on a server without records.
type Harness struct {
	// A and B are two instances on one server. Crash makes A do nothing any more, as if its
	// process had died.
	A, B  remote.Tier
	Crash func()

	// LeaseTTL is how long a lease stands after the death of its holder. The waits of the
	// suite have this order of magnitude.
	LeaseTTL time.Duration

	// Sleep lets time pass, for the server and for the instances.
	Sleep func(time.Duration)

	// Tombstone puts a tombstone at key. Corrupt puts bytes at key that are no record.
	Tombstone func(key string, ttl time.Duration)
	Corrupt   func(key string)
}

// TestRemote: an implementation of [remote.Tier] keeps the contract. For each check
// TestRemote calls run on a subtest of t. run makes a Harness and passes it to check, in a
// testing/synctest bubble if the implementation can run in one.
func TestRemote(t *testing.T, run func(t *testing.T, check func(*testing.T, Harness))) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, h Harness) {
				t.Helper()
				c.check(&suite{T: t, Harness: h})
			})
		})
	}
}

var checks = []struct {
	name  string
	check func(*suite)
}{
	{"an absent key", (*suite).absent},
	{"a fill is read by all", (*suite).fillIsRead},
	{"an empty and a large payload", (*suite).payloads},
	{"not found is a value", (*suite).notFound},
	{"a lease keeps others out", (*suite).leaseExcludes},
	{"a read takes the lease of what is absent", (*suite).readTakesLease},
	{"a read takes no lease of what stands", (*suite).readTakesNoOther},
	{"a read that confirms", (*suite).confirms},
	{"one of many takes the lease", (*suite).oneLease},
	{"a wait ends with the fill", (*suite).waitForFill},
	{"a wait ends with the release", (*suite).waitForRelease},
	{"a wait ends with its context", (*suite).waitForContext},
	{"a delete fences the fill", (*suite).deleteFences},
	{"a lost lease neither fills nor releases", (*suite).lostLease},
	{"a value is replaced by its version", (*suite).replaceValue},
	{"a corrupt record is replaced by its version", (*suite).replaceCorrupt},
	{"a seize takes what stands", (*suite).seize},
	{"a tombstone keeps everybody out", (*suite).tombstone},
	{"a value expires", (*suite).valueExpires},
	{"a lease is kept alive", (*suite).leaseKept},
	{"a lease is held no longer than it may", (*suite).leaseHold},
	{"a lease lapses with its holder", (*suite).leaseLapses},
	{"a lease that is not renewed is replaced", (*suite).leaseOverdue},
	{"the age counts from the lease", (*suite).ageOfLoad},
	{"a touch renews up to the age", (*suite).touch},
	{"a touch changes nothing else", (*suite).touchOthers},
	{"a value is kept for its window", (*suite).window},
	{"the lease of a stale value", (*suite).staleLease},
	{"the lease of a stale value is released", (*suite).staleRelease},
	{"a delete fences the fill of a stale value", (*suite).staleFences},
	{"the lease of a stale value lapses", (*suite).staleLeaseLapses},
	{"the lease of a stale value outlives it", (*suite).staleLeaseOutlives},
	{"the lease beside a fresh value", (*suite).freshLease},
	{"an unchanged value is kept", (*suite).unchanged},
	{"an unchanged value that has ended is stored", (*suite).unchangedEnded},
	{"keys are any bytes", (*suite).keys},
	{"a delete of many", (*suite).deleteMany},
	{"an ended context", (*suite).endedContext},
	{"what is invalidated is told to all", (*suite).tells},
	{"a follower is told of its cache", (*suite).tellsTheRightOnes},
	{"the record is gone before that is told", (*suite).tellsOfWhatIsDone},
	{"all is told from a position on", (*suite).tellsAllAfterSince},
	{"nothing is told after the stop", (*suite).stopsTelling},
	{"a name has one follower", (*suite).oneFollower},
	{"positions are of what was heard", (*suite).positions},
	{"told is what was told", (*suite).toldPosition},
	{"the end is the last entry", (*suite).end},
	{"a tag is invalidated", (*suite).tagIsInvalidated},
	{"a record of a tag stays", (*suite).recordedTags},
	{"records of tags are kept for their time", (*suite).tagsAreKept},
	{"a bar gives way to few", (*suite).barredTags},
	{"a bar is brief", (*suite).barsAreBrief},
	{"many names", (*suite).manyNames},
	{"names are any bytes", (*suite).namesOfAnyBytes},
	{"stamps and tags come back", (*suite).stampsAndTags},
	{"an ended context, of the log", (*suite).endedContextOfTheLog},
	{"a hold leaves tombstones", (*suite).hold},
	{"the longer hold counts", (*suite).holdAgain},
	{"a guard keeps everybody out", (*suite).guardFences},
	{"a guard lapses", (*suite).guardLapses},
	{"guards stand side by side", (*suite).guardsTogether},
	{"a guard outlives what is shorter", (*suite).guardOutlivesOthers},
	{"a unguard removes what stands", (*suite).unguardRemoves},
	{"a unguard with a hold", (*suite).unguardHolds},
	{"a guard of many", (*suite).guardOfMany},
	{"many at once", (*suite).manyTogether},
	{"each of many has its outcome", (*suite).manyApart},
	{"leases of many stale values", (*suite).manyBeside},
	{"many touches", (*suite).manyTouches},
	{"an ended context, of many", (*suite).manyEnded},
}

// suite is one check while it runs.
type suite struct {
	*testing.T
	Harness
}

// long is a TTL that outlasts every check.
const long = time.Hour

func (s *suite) get(r remote.Tier, key string) remote.Record {
	s.Helper()
	rec, err := r.Get(s.Context(), key, false)
	if err != nil {
		s.Fatalf("Get: %v", err)
	}
	return rec
}

func (s *suite) wantState(r remote.Tier, key string, want remote.State) remote.Record {
	s.Helper()
	rec := s.get(r, key)
	if rec.State != want {
		s.Fatalf("the record is %v, want %v", rec.State, want)
	}
	return rec
}

func (s *suite) wantValue(r remote.Tier, key, want string) remote.Record {
	s.Helper()
	rec := s.wantState(r, key, remote.StateValue)
	if string(rec.Payload) != want {
		s.Fatalf("the payload is %.40q, want %.40q", rec.Payload, want)
	}
	return rec
}

// lease takes the lease of key, which must be free, or have the Version replace.
func (s *suite) lease(r remote.Tier, key string, replace []byte) remote.Lease {
	s.Helper()
	l, rec, err := r.Lease(s.Context(), key, long, replace)
	if err != nil || l == nil {
		s.Fatalf("Lease: %v, err %v, in the way: %v", l, err, rec.State)
	}
	return l
}

// wantNoLease: the lease of key is refused, because of a record of that state.
func (s *suite) wantNoLease(r remote.Tier, key string, replace []byte, inTheWay remote.State) {
	s.Helper()
	l, rec, err := r.Lease(s.Context(), key, long, replace)
	if err != nil || l != nil {
		s.Fatalf("Lease: %v, err %v, want none", l, err)
	}
	if rec.State != inTheWay {
		s.Fatalf("in the way of the lease is %v, want %v", rec.State, inTheWay)
	}
}

func (s *suite) wantHeld(l remote.Lease, payload string, want bool) {
	s.Helper()
	held, err := l.Fill(s.Context(), fill(payload))
	if err != nil || held != want {
		s.Fatalf("Fill: held %v, err %v, want %v", held, err, want)
	}
}

// fillKey stores a value at a key that is free.
func (s *suite) fillKey(r remote.Tier, key, payload string) {
	s.Helper()
	s.wantHeld(s.lease(r, key, nil), payload, true)
}

func (s *suite) delete(r remote.Tier, keys ...string) {
	s.Helper()
	if err := r.Invalidate(s.Context(), keys, 0); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
}

func fill(payload string) remote.Fill {
	return remote.Fill{Payload: []byte(payload), TTL: long, MaxAge: long}
}

// after runs f in the background after d.
func (s *suite) after(d time.Duration, f func(context.Context)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Sleep(d)
		f(context.WithoutCancel(s.Context()))
	}()
	s.Cleanup(func() { <-done })
}
