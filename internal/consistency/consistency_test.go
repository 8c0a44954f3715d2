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
	duration = flag.Duration("for", 0, "how long each fleet is disturbed; 0 skips them, but for the short run")
	cluster  = flag.Bool("cluster", false, "run the fleet on a Cluster")
	plain    = flag.Bool("plain", false, "run plain cache-aside, which is expected to be found stale")
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

const short = 10 * time.Second

// TestFleet is the fleet that is to be found right, whatever breaks.
func TestFleet(t *testing.T) {
	if *plain {
		t.Skip("plain cache-aside was asked for")
	}
	r := play(t, consistency.Options{For: max(*duration, short), Seed: *seed, Cluster: *cluster})
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
	if *duration > 0 && !*plain {
		t.Skip("it runs with -plain, or without -for")
	}
	r := play(t, consistency.Options{For: max(*duration, short/2), Seed: *seed, Cluster: *cluster, Plain: true})
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
