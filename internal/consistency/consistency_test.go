package consistency_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/consistency"
	"github.com/nearside-go/nearside/internal/history"
)

var (
	duration = flag.Duration("for", 0, "how long the fleets are disturbed, all together; 0 runs none")
	local    = flag.Duration("local", 0, "Local.TTL; 0 means one fleet with 1s, and one with 30s")
	plain    = flag.Duration("plain", 0, "how long fleets that have to be found stale are disturbed, all together; 0 runs none")
	cluster  = flag.Bool("cluster", false, "run the fleets on a Cluster")
	seed     = flag.Uint64("seed", rand.Uint64(), "of what is done, and broken")
	save     = flag.String("save", "", "where to save a history that is found wrong")
)

func TestMain(m *testing.M) {
	if config := os.Getenv(consistency.Env); config != "" {
		if err := consistency.Run(config, os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// Two fleets. In the one local copies end before most faults do, so that Local.TTL is what
// bounds them. In the other they outlive all faults, and the settling: there the end of
// the fault is the bound, and whatever is left behind is still there at rest.
var locals = []time.Duration{time.Second, 30 * time.Second}

// TestFleet is the fleet that is to be found right, whatever breaks. It wants a machine
// for itself, and so runs only when it is asked for: make test does.
func TestFleet(t *testing.T) {
	if *duration == 0 {
		t.Skip("no fleet without -for")
	}
	if *local > 0 {
		locals = []time.Duration{*local}
	}
	for i, local := range locals {
		t.Run("local "+local.String(), func(t *testing.T) {
			o := consistency.Options{For: *duration / time.Duration(len(locals)), Local: local, Seed: *seed + uint64(i), Cluster: *cluster}
			r := play(t, o)
			if n := len(r.Verdict.Violations); n > 0 {
				keep(t, r)
				t.Errorf("%v", r.Verdict)
			}
			if r.Summary.Failed > 0 {
				t.Errorf("%d reads failed", r.Summary.Failed)
			}
			v := r.Verdict
			if missing := r.Missing(); o.For >= 2*time.Minute && len(missing) > 0 {
				t.Errorf("no %q", missing)
			}
			if v.Reads == 0 || v.Invalidations == 0 || len(v.Faults) < 2 || v.Rests["local"] == 0 || v.Rests["redis"] == 0 {
				t.Error("nothing happened")
			}
		})
	}
}

// TestPlainFleet is plain cache-aside on the same machine, with the same faults: what
// the judge finds there shows that it can find something.
func TestPlainFleet(t *testing.T) {
	if *plain == 0 {
		t.Skip("no fleet without -plain")
	}
	r := play(t, consistency.Options{For: *plain / 2, Local: time.Second, Seed: *seed, Cluster: *cluster, Plain: true})
	if len(r.Verdict.Violations) == 0 {
		t.Error("plain cache-aside was not found stale: the judge is blind")
	}
}

// TestDeafFleet is nearside, but one entry of the log in many is lost. That has to be seen
// in what is read, and in what is left in local tiers.
func TestDeafFleet(t *testing.T) {
	if *plain == 0 {
		t.Skip("no fleet without -plain")
	}
	r := play(t, consistency.Options{For: *plain / 2, Local: 30 * time.Second, Seed: *seed, Cluster: *cluster, Deaf: true})
	found := make(map[string]int)
	for _, v := range r.Verdict.Violations {
		found[string(v.Reason)+v.Rest.Tier]++
	}
	t.Log(found)
	if found["late"] == 0 || found["at restlocal"] == 0 {
		t.Error("lost entries were not found: the judge is blind")
	}
}

func play(t *testing.T, o consistency.Options) *consistency.Result {
	t.Helper()
	t.Logf("%+v", o)
	r := consistency.Play(t, o)
	t.Logf("\n%v", r)
	return r
}

func keep(t *testing.T, r *consistency.Result) {
	t.Helper()
	path := *save
	if path == "" {
		f, err := os.CreateTemp("", "history-*.jsonl")
		if err != nil {
			t.Error(err)
			return
		}
		path = f.Name()
		_ = f.Close()
	}
	t.Logf("the history is saved: %s, %v", path, history.Save(path, r.History))
}
