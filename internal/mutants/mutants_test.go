package mutants_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var run = flag.Bool("mutants", false, "run the checkers on every mutant")

// root is the module's.
const root = "../.."

// change replaces a piece of a file that must be there once.
type change struct{ file, old, new string }

// simulate is the checker of what fleets show in their first seeds. Goroutines do not take
// turns as the seed says, so one that only one fleet in many shows has a test that forces it.
var simulate = []string{"./internal/simulation", "-run", "TestFleets$", "-args", "-first", "1", "-seeds", "600"}

// fleet is the one that finds what only a real Redis shows.
var fleet = []string{"./internal/consistency", "-run", "TestFleet", "-args", "-for", "8s", "-seed", "1"}

// tests are tests of package redis, which force what a fleet does by chance.
func tests(names string) []string { return []string{"./redis", "-run", names} }

// mutant is a guard that is taken out, and the checker that finds that.
type mutant struct {
	guard   string
	changes []change
	checker []string
	finds   string // what it says
}

var mutants = []mutant{
	{"lease check", []change{{
		"cache/cachetest/lease.go",
		"	if l.standsLocked() == nil {\n		return false\n	}\n	s := l.r.server\n",
		"	s := l.r.server\n",
	}}, simulate, "stale"},
	{"lease check on Redis", []change{{
		"redis/scripts/fill.lua", "if not leased(ARGV[1]) then return {0} end", "",
	}}, []string{"./internal/racefills", "-run", "TestNoStaleFillOnRedis"}, "old values"},
	{"unique token", []change{{
		"cache/cachetest/lease.go", "rec.serial == l.token", "rec.owner == l.r",
	}, {
		"cache/cachetest/lease.go",
		"record{Record: remote.Record{State: remote.StateLease}}",
		"record{Record: remote.Record{State: remote.StateLease}, owner: r}",
	}, {
		"cache/cachetest/server.go", "	guards   []remote.Token\n", "	guards   []remote.Token\n	owner    *Remote\n",
	}}, []string{"./cache/cachetest", "-run", "TestServerConforms"}, "held true"},
	{"doom", []change{{
		"cache/follower.go",
		"		c.reads.DetachAnd(key, func() { // in one step: see doomAnd\n			c.loads.DetachAnd(key, func() { c.local.Remove(key) })\n		})\n",
		"		c.local.Remove(key)\n",
	}}, simulate, "stale"},
	{"registering before the GET", []change{{
		"cache/lookup.go", "	t.seen.rec, t.seen.err = t.get(ctx)\n", "	t.seen.rec, t.seen.err = t.get(ctx)\n	t.flight.Forget()\n",
	}, forget}, simulate, "stale"},
	{"removing a copy while no flight starts", []change{{
		"cache/write.go",
		"	c.reads.DoomAnd(key, func() { c.loads.DoomAnd(key, change) })\n",
		"	c.reads.Doom(key)\n	c.loads.Doom(key)\n	change()\n",
	}}, []string{"./cache", "-run", "TestAFlightThatFindsACopy"}, "got"},
	{"memory of invalidations", []change{{
		"cache/validate.go", "	if t.cameBack(rec) {", "	if false {",
	}}, []string{"./cache", "-run", "TestARecordFromBeforeARememberedInvalidation"}, "want a miss"},
	{"deleting again what has come back", []change{{
		"cache/validate.go", "			t.c.repeatFrom(t.invalidated.At)\n", "",
	}}, []string{"./cache", "-run", "TestARecordThatHasComeBack"}, "want a miss"},
	{"a record from before its deletion for sure", []change{{
		"cache/validate.go", "rec.Asked.Sub(t.invalidated.AsOf)+attempt", "rec.Asked.Sub(t.invalidated.Since)+attempt",
	}}, []string{"./cache", "-run", "TestARecordThatWasFilledBeforeItsEntry"}, "Reverts:1"},
	{"rounds of the journal", []change{{
		"cache/internal/journal/journal.go", "e != nil && e.round <= round {", "e != nil {",
	}}, []string{"./cache/internal/journal", "-run", "TestALateConfirmation"}, "is not unconfirmed"},
	{"pauses that end with the outage", []change{{
		"cache/internal/journal/attempts.go", "	j.forgetPauses()\n", "",
	}}, []string{"./cache/internal/journal", "-run", "TestPausesEndWithTheOutage"}, "Count is 1"},
	{"second drop", []change{{
		"cache/write.go",
		"		err = c.settle(ctx, op, names, round, change(ctx, names))\n		drop()\n",
		"		err = c.settle(ctx, op, names, round, change(ctx, names))\n",
	}}, simulate, "stale"},
	{"second drop of tags", []change{{
		"cache/tags.go", "func() { c.invalidations.Drop(tags...) }, c.declare)", "sync.OnceFunc(func() { c.invalidations.Drop(tags...) }), c.declare)",
	}, {
		"cache/tags.go", "	\"strings\"\n", "	\"strings\"\n	\"sync\"\n",
	}}, simulate, "stale"},
	{"second drop of a redelivery", []change{{
		"cache/undelivered.go", "	c.dropNames(names) // again: see overwrite\n", "",
	}}, []string{"./cache", "-run", "TestRedeliverDuringRemoteRead"}, "want a miss"},
	{"continuity check", []change{{
		"cache/cachetest/log.go", "if told.Before(s.lost) {", "if false {",
	}}, simulate, "stale"},
	{"tag stamp", []change{{
		"cache/internal/validity/invalidations.go", "	case st.exact && stamp.Before(st.position):\n		v.Invalid = true\n", "",
	}}, simulate, "stale"},
	{"recorded positions of tags", []change{{
		"cache/internal/validity/invalidations.go", "return at == nil || stamp.Before(*at)", "return false",
	}}, simulate, "stale"},
	{"tombstone", []change{{
		"cache/mutate.go", "	m.begin(ctx)\n", "",
	}}, []string{"./cache", "-run", "TestNothingIsFilledDuringMutate"}, "want a miss"},
	{"trust in a record since the log was heard", []change{{
		"cache/validate.go", "return !v.Invalid, t.snap.asOf", "return !v.Invalid, rec.Asked",
	}}, trust, "want a miss"},
	{"trust in a load since the log was heard", []change{{
		"cache/fill.go", "return latest(t.snap.taken, asOf)", "return latest(time.Now(), asOf)",
	}}, trust, "want a miss"},
	{"indexing a load", []change{{
		"cache/load.go", "		t.c.indexKey(t.key)\n	}\n	t.flight = f\n", "	}\n	t.flight = f\n",
	}}, []string{"./cache", "-run", "TestRemoteOnlyIndexesItsLoads"}, "got"},
	{"deletion before the entry", []change{{
		"cache/cachetest/remote.go",
		"	err := r.do(ctx, op, func(s *Server) {\n		for _, key := range keys {\n			change(s, key)\n		}\n	})\n	if err != nil || len(keys) == 0 {\n		return err\n	}\n	_, err = r.append(ctx, keys, false)\n	return err\n",
		"	if _, err := r.append(ctx, keys, false); err != nil {\n		return err\n	}\n	return r.do(ctx, op, func(s *Server) {\n		for _, key := range keys {\n			change(s, key)\n		}\n	})\n",
	}}, []string{"./cache", "-run", "TestAnInstanceThatStartsDuringAnInvalidate"}, "want a miss"},
}

// trust is the checker of what is trusted since when, which a fleet shows by chance.
var trust = []string{"./cache", "-run", "TestTrustCountsFromWhatWasHeard"}

// windows has the guards that keep stale values in their windows.
var windows = []mutant{
	{"no stale value after an invalidation", []change{{
		"cache/windows.go", "	return t.old.answer(e), usable\n}\n\n// forgetOld", "	return t.old.answer(e), true || usable\n}\n\n// forgetOld",
	}}, inWindows, "during a load"},
	{"no stale value after an invalidation of a tag", []change{{
		"cache/windows.go", "if t.old == nil || !t.c.invalidations.EntryValid(t.old.entry.tags, &t.old.entry.epoch) {", "if t.old == nil {",
	}}, inWindows, "during a load"},
	{"a stale value from before the flight", []change{{
		"cache/remoteonly.go", "current := complete && !a.standsIn || a.turn > asked", "current := complete || a.turn > asked",
	}}, inWindows, "a later call"},
	{"one load for a stale value", []change{{
		"redis/scripts/lease_beside.lua", "if holder ~= token and number(start, 73, 80) > time then return {0} end", "",
	}}, tests("TestConformsOnRedis/the_lease_of_a_stale_value"), "want none"},
	{"the token in a stale value", []change{{
		"redis/scripts/begin.lua", "string.sub(start, 57, 72) == string.sub(lease, 3)", "true",
	}}, tests("TestConformsOnRedis/a_delete_fences"), "held true"},
	{"a lease that outlives its stale value", []change{{
		"redis/scripts/renew.lua", "kind == 'V' and redis.call('PTTL', KEYS[1]) <= tonumber(ARGV[2]) / 2", "false",
	}}, tests("TestConformsOnRedis/the_lease_of_a_stale_value_outlives"), "the record is absent"},
	{"no renewal in a window", []change{{
		"redis/scripts/touch.lua", "  if left < 1 then return 0 end\n", "",
	}}, tests("TestConformsOnRedis/a_value_is_kept"), "a touch of a stale value"},
	{"the lease of an unchanged value", []change{{
		"redis/scripts/keep.lua", "if not kind then return {0} end", "kind = kind or 'V'",
	}}, tests("TestConformsOnRedis/an_unchanged_value_is_kept"), "after an Invalidate"},
	{"a lease that is not renewed", []change{{
		"redis/read.go", "return rec.Left < ttl/3 &&", "return false && rec.Left < ttl/3 &&",
	}}, tests("TestConformsOnRedis/a_lease_that_is_not_renewed"), "Wait returned no lease"},
	{"time for a load of one's own", []change{{
		"cache/load.go", "	t.flight.WhenUrged(cancel)\n", "",
	}}, []string{"./cache", "-run", "TestACallerWithADeadline"}, "deadline exceeded"},
	{"the draw of an early load", []change{{
		"cache/early.go", "return load > 0 && draw*", "return load > 0 && ",
	}}, early, "were loaded early"},
	{"the value of an early load that fails", []change{{
		"cache/fill.go", "case !fits && (a.standsIn || a.entry == nil):", "case !fits && a.entry == nil:",
	}}, early, "the source is down"},
	{"an answer that ends a copy which is not trusted", []change{{
		"cache/windows.go", "			t.flight.Publish(func() { t.c.local.Remove(t.key) })\n", "",
	}}, whileDown, "entries are left"},
	{"a copy that is not trusted after an invalidation of a tag", []change{{
		"cache/windows.go", "t.background || !t.c.invalidations.EntryValid(s.Value.tags, &s.Value.epoch) {", "t.background {",
	}}, whileDown, "want \"new\""},
}

var whileDown = []string{"./cache", "-run", "TestARemoteTierThatIsBackIsAsked|TestWhatIsInvalidIsNotReturned"}

var early = []string{"./cache", "-run", "TestEarlyRevalidation"}

var inWindows = []string{"./cache", "-run", "TestNoWindowAfterAnInvalidation|TestAStaleValueFromBeforeTheFlight"}

// distant and onlyOnce take out the probes that make connections to a Redis which is far away:
// those of the breaker, and those after a command that had no answer in time.
var (
	distant = change{
		"redis/probe.go",
		"	return b.probeAll(ctx, key, b.s.connectTime(), cap(b.c.writes.places), cap(b.c.reads.places)) &&\n		b.probeAll(ctx, key, budget, 1, 1)\n",
		"	return false\n",
	}
	onlyOnce = change{"redis/command.go", "		b.c.warmLater()\n", ""}
)

// onRedis has the guards of the log on Redis, which the simulation has no part in.
var onRedis = []mutant{
	{"making lost invalidations again", []change{{
		"redis/log_reader.go", "		r.revert(over.to, r.takeUnseen())\n", "		_ = over.to\n",
	}}, tests("TestAFailoverThatLosesWritesLosesNoInvalidation"), "old values are served"},
	{"own entries that were lost", []change{{
		"redis/log_loss.go", "			names = append(names, a.names...)\n			if", "			names = append(names, a.names[:0]...)\n			if",
	}}, tests("TestAnEntryThatNobodyHasReadIsMadeAgain"), "the instance misses"},
	{"draining before reads", []change{{
		"redis/probe.go", "			b.drain(ctx)\n", "",
	}}, tests("TestAFailedInvalidateIsMadeBeforeReadsAreSentAgain"), "reads were sent again"},
	{"a breaker for each node", []change{{
		"redis/circuit.go", "	return s.circuits.of(s, node)\n", "	return s.circuits.of(s, nil)\n",
	}, {
		"redis/circuit.go", "	node, err := cluster.MasterForKey(s.background, key)\n", "	_, err := cluster.MasterForKey(s.background, key)\n",
	}}, tests("TestAnIllNodeOfAClusterCostsTheKeysOfOthersNothing"), "is not read from Redis"},
	{"the ratio of failures", []change{{
		"redis/tally.go", "float64(t.failed) > ratio*float64(t.seen)", "float64(t.failed) > 2*ratio*float64(t.seen)",
	}}, tests("TestAThirdOfFailuresExceedsTheDefaultRatio"), "the ratio is not exceeded"},
	{"steady probes", []change{{
		"redis/breaker.go", "const steadyProbes = 10", "const steadyProbes = 1",
	}}, tests("TestARedisThatAnswersTooOftenTooLateIsLeftAlone"), "the breaker has opened"},
	{"turns for connections", []change{{
		"redis/command.go", "return pipelines + connections/4, max(1, connections/2)", "return 10_000, 10_000",
	}}, tests("TestWaitsForAConnectionAreNoFailures"), "the breaker opened"},
	{"timeouts of a process that does not run", []change{{
		"redis/breaker.go", "} else if err == errStarved && b.forgivesLocked() {", "} else if false {",
	}}, tests("TestTimeoutsOfAProcessThatDoesNotRunAreNoFailures"), "the breaker is open"},
	{"a command again after a dead connection", []change{{
		"redis/command.go", "for tries := commands + pipelines + 1; ", "for tries := 0*(commands+pipelines) + 1; ",
	}}, tests("TestAClosedIdleConnectionIsNoFailure"), "Invalidate: EOF"},
	{"keys of other nodes in one call", []change{{
		"redis/write.go", "if len(failed) == len(keys) {", "if err != nil {",
	}}, tests("TestAnInvalidateOfManyKeysFailsForThoseOfAnIllNode"), "want a PartialError"},
	{"a command that got little time", []change{{
		"redis/command.go", "if !late || !hurried {", "if late || !hurried || true {",
	}}, tests("TestACommandThatGotLittleTimeProvesNothing"), "the breaker opened"},
	{"probing all connections", []change{{
		"redis/probe.go", "budget, max(1, commands), pipelines)", "budget, max(1, 0*commands), 0*pipelines)",
	}, distant, onlyOnce}, tests("TestDeadConnectionsAreLeftAtOnce"), "the first hit"},
	{"connections to a distant Redis", []change{distant, onlyOnce}, tests("TestADistantRedisIsUsed"), "as many callers"},
	{"the lease of a distant Redis", []change{{
		"cache/lookup.go", "max(t.c.absences.Load(), t.c.slowReads.Load()) <", "t.c.absences.Load() <",
	}}, tests("TestARedisThatIsFarAwayServesHitsAndIsFilled"), "is not in Redis"},
	{"following a failover client", []change{{
		"redis/log_reader.go", "l != nil && l.conn.RemoteAddr().String() != conn.RemoteAddr().String() &&", "l != nil && false &&",
	}}, tests("TestTheLogIsReadWhereAFailoverClientGoes"), "on the other server"},
	{"telling", []change{{
		"redis/log_session.go", "		r.applyOne(ctx, m, followers)\n", "		_, _ = m, followers\n",
	}}, fleet, "late"},
	{"continuity check on Redis", []change{{
		"redis/log_reader.go", "return len(messages) > 0 && messages[0].Values[entryField] == p.entry", "return true",
	}}, tests("TestAfterAnOutageOfTheLogNothingOldIsServed|TestALogThatIsLostWhileItIsReadIsAGap"), "gaps counted"},
	{"which entry it is", []change{{
		"redis/log_reader.go", "len(messages) > 0 && messages[0].Values[entryField] == p.entry", "len(messages) > 0",
	}}, tests("TestAnotherEntryAtTheSamePositionIsAGap"), "want a miss"},
	{"deletion before the entry on Redis", []change{{
		"redis/log.go",
		"			fill(b)\n			p.unexpect(got.nonce)\n			added, got.nonce = p.addAll(ctx, b.pipe, e)\n",
		"			p.unexpect(got.nonce)\n			added, got.nonce = p.addAll(ctx, b.pipe, e)\n			fill(b)\n",
	}}, tests("TestWhatIsInvalidatedIsGoneBeforeItIsTold"), "sends"},
	{"tombstone on Redis", []change{{
		"redis/scripts/guard.lua", "local set = redis.pcall('SET', KEYS[1], tombstone(tokens), 'PX', string.format('%.0f', ttl))", "local set = {ok = 1}",
	}}, tests("TestAProcessThatIsKilledInAMutateLeavesNoOldValue"), "the tombstones stood"},
	{"the lift of the log", []change{{
		"redis/log_reader.go", "end != (place{}) && !end.at.Before(heard) {", "end != (place{}) {",
	}}, tests("TestALogThatBeginsAnewIsLifted|TestALogThatLostOnly"), "lifted"},
	{"following a log that moves", []change{{
		"redis/dial_cluster.go", "o.Addr = net.JoinHostPort(host, port)", "_ = port",
	}}, tests("TestALogThatMovesIsReadWhereItsNodeSays"), "log_resume_test.go"},
	{"the second entry of a tag", []change{{
		"redis/tags.go", "		return s.appendAfter(ctx, tags, s.each(tags, record))\n", "		_, err := s.send(ctx, tags, record)\n		return at, err\n",
	}}, tests("TestWhatIsInvalidatedIsGoneBeforeItIsTold"), "sends"},
	{"the mark of the log", []change{{
		"redis/log.go", "	p.mark(ctx, pipe)\n	pipe.PExpire(ctx, p.key, logTTL)\n", "	pipe.PExpire(ctx, p.key, logTTL)\n",
	}}, tests("TestAMarkIsNoProofOfALogThatIsGone"), "want a miss"},
	{"waiting for a fill", []change{{
		"loader/group.go", "case f.born >= work.NotBefore && !f.delivered():", "case f.born >= work.NotBefore:",
	}}, []string{"./cache", "-run", "TestAValueWhoseFillIsUnderWayIsNotShared"}, "v0"},
	{"comparing with what the commands see", []change{{
		"redis/log_session.go", "case reached && got.sawExpected:", "case reached:",
	}}, tests("TestALogThatIsReadFromAPrimaryOfThePast"), "after the invalidation"},
	{"judging in silence", []change{{
		"cache/internal/validity/invalidations.go", "k.sessions, k.follows && live", "k.sessions, k.follows",
	}}, tests("TestLocalTTLBoundsWhatAHalfOpenLogLeaves"), "after the invalidation"},
}

// hot are of the reads of the local tier that take no lock.
var hot = []mutant{
	{"ending the reads of an entry that leaves", []change{{
		"local/hot.go", "CompareAndSwap(e, nil)", "Load()",
	}}, []string{"./local", "-run", "TestAnEntryThatLeavesIsNoLongerHot"}, "Get = 1, true"},
	{"the exact time near the end of an entry", []change{{
		"local/store.go", "	if now+margin < e.expires {\n", "	if now < e.expires {\n",
	}}, []string{"./local", "-run", "TestAnEntryNearItsEndTakesTheLock"}, "reads take no lock"},
}

// forget lets a mutant make a flight as new.
var forget = change{
	"loader/flight.go", "func (f *Flight[V]) detach(",
	"// Forget makes f as new.\nfunc (f *Flight[V]) Forget() {\n	f.mu.Lock()\n	defer f.mu.Unlock()\n	f.fate = 0\n}\n\nfunc (f *Flight[V]) detach(",
}

// many are of calls with many keys.
var many = []mutant{
	{"the order of the keys of a load", []change{{
		"cache/together_steps.go", "return a.at - b.at })\n	keys :=", "return b.at - a.at })\n	keys :=",
	}}, []string{"./cache", "-run", "TestManyKeysAreLoadedOnceInTheirOrder"}, "loads of"},
	{"leaving the others to wait for a lease", []change{{
		"cache/load.go", "	t.leaveOthers()\n", "",
	}}, []string{"./cache", "-run", "TestOfManyOnlyOneWaits"}, "loads of"},
	{"leaving the others to another caller's flight", []change{{
		"cache/member.go", "w.Joined, w.Load = m.leave, m.ofFlight(w.Load)", "w.Load = m.ofFlight(w.Load)",
	}}, []string{"./cache", "-run", "TestALoadOfManyWithoutALocalTierJoinsOthers"}, "loads of"},
	{"registering before the read of many", []change{{
		"cache/together_look.go", "	k.t.looked = true\n", "	k.t.looked = true\n	k.t.flight.Forget()\n",
	}, forget}, []string{"./cache", "-run", "TestOneOfManyIsInvalidatedAfterItsRead"}, "the call returned"},
	{"the end of a goroutine that looks for many", []change{{
		"cache/together_look.go", "			if ended {\n", "			if ended && false {\n",
	}}, []string{"./cache", "-run", "TestOneOfManyPanicsBeforeTheRead"}, "GetOrLoadMany returned"},
	{"too old a value for one of many", []change{{
		"cache/together.go", "!g.c.isCurrent(k.answer, k.asked)", "false",
	}}, []string{"./cache", "-run", "TestAValueThatManyJoinIsTooOld"}, "the call returned"},
	{"many callers with a deadline", []change{{
		"cache/together.go", "time.Until(deadline)-need, g.urge)", "time.Until(deadline)-need, func() {})",
	}}, []string{"./cache", "-run", "TestManyLoadInTime"}, "deadline"},
	{"the place of a load of many", []change{{
		"cache/together_steps.go", "	if !has {\n", "	if has = true; !has {\n",
	}, {
		"cache/together_steps.go", "	ctx = g.place.Within(ctx)\n", "",
	}}, []string{"./cache", "-run", "TestALoadOfManyTakesOnePlace"}, "three loads in two places"},
	{"giving up the lease of a reader that has left", []change{{
		"redis/joined.go", "		s.giveBack(ctx, left)\n", "		_ = left\n",
	}}, tests("TestALeaseWhoseReaderHasLeftIsGivenUp"), "the lease is gone"},
	{"the round trip that fills share", []change{{
		"redis/joined_ends.go", "	n := j.shareLocked()\n", "	n := 1\n",
	}}, tests("TestMissesShareRoundTrips"), "pipelines of fills"},
	{"no further part after silence", []change{{
		"redis/many.go", "if err == nil || !isSilence(err) {", "if true {",
	}}, tests("TestManyKeysCostAHungRedisOneBudget"), "a call with more keys"},
}

// TestMutantsAreFound takes minutes, and so runs only with -mutants.
func TestMutantsAreFound(t *testing.T) {
	for _, m := range slices.Concat(mutants, windows, hot, many, onRedis) {
		t.Run(m.guard, func(t *testing.T) {
			overlay := mutate(t, m.changes)
			if !*run {
				return // the changes still fit
			}
			args := append([]string{"test", "-overlay", overlay, "-vet=off"}, m.checker...)
			cmd := exec.Command("go", args...)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			said := string(out)
			if err == nil {
				t.Fatalf("the mutant was not found:\n%s", said)
			}
			if !strings.Contains(said, "--- FAIL") || !strings.Contains(said, m.finds) {
				t.Fatalf("the mutant failed in another way: %v\n%s", err, said)
			}
			t.Logf("found: %s", firstLine(said, m.finds))
		})
	}
}

// mutate writes the changed files, and returns the overlay that puts them in place.
func mutate(t *testing.T, changes []change) string {
	t.Helper()
	dir, replaced := t.TempDir(), make(map[string]string)
	for _, c := range changes {
		original, err := filepath.Abs(filepath.Join(root, c.file))
		if err != nil {
			t.Fatal(err)
		}
		from := original
		if already, ok := replaced[original]; ok {
			from = already
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), c.old); n != 1 {
			t.Fatalf("%s has %d times %q, want once", c.file, n, c.old)
		}
		replaced[original] = filepath.Join(dir, strings.ReplaceAll(c.file, "/", "_"))
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if err := os.WriteFile(replaced[original], []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func firstLine(text, with string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, with) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
