package consistency_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/nearside-go/nearside/internal/consistency"
	"github.com/nearside-go/nearside/internal/history"
)

var (
	duration = flag.Duration("for", 0, "how long the fleet is disturbed; 0 runs none")
	plain    = flag.Duration("plain", 0, "how long one of plain cache-aside is disturbed, which has to be found stale; 0 runs none")
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

// TestFleet is the fleet that is to be found right, whatever breaks. It wants a machine
// for itself, and so runs only when it is asked for: make test does.
func TestFleet(t *testing.T) {
	if *duration == 0 {
		t.Skip("no fleet without -for")
	}
	r := play(t, consistency.Options{For: *duration, Seed: *seed, Cluster: *cluster})
	if n := len(r.Verdict.Violations); n > 0 {
		keep(t, r)
		t.Errorf("%v", r.Verdict)
	}
	if r.Summary.Failed > 0 {
		t.Errorf("%d reads failed", r.Summary.Failed)
	}
	if r.Verdict.Reads == 0 || r.Verdict.Invalidations == 0 || len(r.Verdict.Faults) == 0 {
		t.Error("nothing happened")
	}
}

// TestPlainFleet is plain cache-aside on the same machine, with the same faults: what
// the judge finds there shows that it can find something.
func TestPlainFleet(t *testing.T) {
	if *plain == 0 {
		t.Skip("no fleet without -plain")
	}
	r := play(t, consistency.Options{For: *plain, Seed: *seed, Cluster: *cluster, Plain: true})
	if len(r.Verdict.Violations) == 0 {
		t.Error("plain cache-aside was not found stale: the judge is blind")
	}
}

func play(t *testing.T, o consistency.Options) *consistency.Result {
	t.Helper()
	t.Logf("seed %d, %v, Cluster: %v, plain: %v", o.Seed, o.For, o.Cluster, o.Plain)
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
