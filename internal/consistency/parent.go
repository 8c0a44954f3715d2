package consistency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/internal/redistest"
)

// Options say what fleet to run.
type Options struct {
	For     time.Duration
	Seed    uint64
	Cluster bool // three primaries instead of one server
	Plain   bool // plain cache-aside instead of nearside
	Calm    bool // without faults
}

// The size of the fleet.
const (
	processes = 4
	readers   = 6 // of a process
	writers   = 2
	primaries = 3
)

// The bounds by which the fleet is judged. A machine on which all of it shares two cores
// delays everybody by slack now and then.
const (
	slack    = 300 * time.Millisecond
	recovery = localTTL + 2*logTimeout + time.Second
)

// Fleet is a fleet at work.
type Fleet struct {
	t       testing.TB
	o       Options
	dir     string
	servers []*redistest.Server
	cluster *redistest.Cluster
	source  *Source
	addr    string // of the source
	members []*member
	started int // processes
	random  *rand.Rand
	history history.History // faults, and what the parent finds at rest
	begun   int64
	sums    []Summary
}

// Play runs a fleet and returns what happened, for history.Judge.
func Play(t testing.TB, o Options) *Result {
	t.Helper()
	f := &Fleet{t: t, o: o, dir: t.TempDir(), random: rand.New(rand.NewPCG(o.Seed, 0)), begun: history.Now()}
	f.build()
	for _, m := range f.members {
		f.start(m)
	}
	f.disturb()
	f.settle()
	return f.result()
}

func (f *Fleet) build() {
	f.t.Helper()
	source := redistest.Start(f.t)
	f.addr, f.source = source.Addr(), OpenSource(source.Addr())
	f.t.Cleanup(func() { _ = f.source.Close() })
	if f.o.Cluster {
		f.cluster = redistest.StartCluster(f.t, primaries, "--cluster-require-full-coverage", "no")
		f.servers = f.cluster.Nodes()
	} else {
		f.servers = []*redistest.Server{redistest.Start(f.t)}
	}
	c := Config{Source: f.addr, Cluster: f.o.Cluster, Plain: f.o.Plain, Readers: readers, Writers: writers, Seed: f.o.Seed}
	for range processes {
		f.members = append(f.members, newMember(f.t, c, f.addrs()))
	}
}

func (f *Fleet) addrs() (addrs []string) {
	for _, s := range f.servers {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

func (f *Fleet) start(m *member) {
	f.started++
	m.start(f.started, f.dir)
}

// disturb lets one fault after the other happen, each kind as often as the others, with
// time to recover in between.
func (f *Fleet) disturb() {
	until := time.Now().Add(f.o.For)
	if f.o.Calm {
		time.Sleep(f.o.For)
		return
	}
	kinds := faults(f.o.Cluster)
	time.Sleep(time.Second)
	for {
		f.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, kind := range kinds {
			if time.Until(until) < 0 {
				return
			}
			f.strike(kind)
			time.Sleep(300*time.Millisecond + time.Duration(f.random.Int64N(int64(time.Second))))
		}
	}
}

// settle ends the writes when everything has recovered, and has everybody say what is
// held of each key: those that were there, and one that starts now.
func (f *Fleet) settle() {
	f.t.Helper()
	time.Sleep(recovery + mutateTimeout)
	f.tellAll(quiet)
	time.Sleep(slack)
	if !f.o.Plain {
		f.finalVersions()
		time.Sleep(slack)
		f.late()
	}
	f.tellAll(rest)
	for _, m := range f.members {
		var s Summary
		if err := json.Unmarshal([]byte(m.tell(end)), &s); err != nil {
			f.t.Errorf("process %d: %v", m.config.Instance, err)
		}
		f.sums = append(f.sums, s)
	}
}

func (f *Fleet) tellAll(command string) {
	f.t.Helper()
	for _, m := range f.members {
		m.tell(command)
	}
}

// finalVersions declares the last version of the keys that only Mutate writes. Mutate
// leaves nothing older, whoever was killed.
func (f *Fleet) finalVersions() {
	f.t.Helper()
	for _, key := range MutatedKeys() {
		v, err := f.source.Version(context.Background(), key)
		if err != nil {
			f.t.Fatal(err)
		}
		now := history.Now()
		f.history.Invalidated = append(f.history.Invalidated, history.Invalidated{Instance: -1, Key: key, Version: v, Start: now, End: now})
	}
}

// late is an instance that starts at rest. It serves what Redis holds.
func (f *Fleet) late() {
	f.t.Helper()
	c := Config{Redis: make(map[string]string), Cluster: f.o.Cluster}
	for _, addr := range f.addrs() {
		c.Redis[addr] = addr
	}
	near, shut, err := c.open()
	if err != nil {
		f.t.Fatal(err)
	}
	defer shut()
	for _, key := range Keys() {
		if v, err := near.Get(context.Background(), key); err == nil {
			f.history.Rests = append(f.history.Rests, history.Rest{Tier: "redis", Key: key, Version: v.Version, At: history.Now()})
		}
	}
}

// Result is what a fleet did.
type Result struct {
	History history.History
	Verdict history.Verdict
	Summary Summary // of the processes that lived to the end
	Options Options
}

func (f *Fleet) result() *Result {
	f.t.Helper()
	r := &Result{History: f.history, Options: f.o}
	files, err := filepath.Glob(filepath.Join(f.dir, "*.jsonl"))
	if err != nil || len(files) != f.started {
		f.t.Fatalf("%d files of %d processes, %v", len(files), f.started, err)
	}
	for _, path := range files {
		h, err := history.Load(path)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // which is where a process was killed
			f.t.Fatal(err)
		}
		r.History.Merge(h)
	}
	missing, err := f.source.Missing(context.Background(), r.History, Keys(), f.begun, history.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	r.History.Commits = append(r.History.Commits, missing...)
	for _, s := range f.sums {
		r.Summary.Failed += s.Failed
		r.Summary.Loads += s.Loads
		r.Summary.Misses += s.Misses
		r.Summary.Gaps += s.Gaps
	}
	r.Verdict = history.Judge(r.History, Bounds())
	return r
}

// Bounds are what the fleet is judged by.
func Bounds() history.Options {
	o := history.Options{Delivery: slack, Faulty: make(map[string]history.Bound)}
	for _, kind := range faults(true) {
		o.Faulty[kind.kind] = history.Bound{Longest: localTTL + slack, Recovery: recovery}
	}
	return o
}

// String is a table.
func (r *Result) String() string {
	var b strings.Builder
	v := r.Verdict
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	fmt.Fprintf(&b, "| reads | %d |\n| commits | %d |\n| invalidations of a key | %d |\n", v.Reads, v.Commits, v.Invalidations)
	fmt.Fprintf(&b, "| reads that failed | %d |\n", r.Summary.Failed)
	fmt.Fprintf(&b, "| reads that were stale for more than %v | %d |\n", slack, v.Stale)
	fmt.Fprintf(&b, "| **stale beyond the bound, or left behind at rest** | **%d** |\n", len(v.Violations))
	if r.Summary.Misses > 0 {
		fmt.Fprintf(&b, "| loads for each miss | %.3f |\n", float64(r.Summary.Loads)/float64(r.Summary.Misses))
	}
	fmt.Fprintf(&b, "\n| fault | how often | longest staleness of a read that it touched | bound |\n|---|---|---|---|\n")
	fmt.Fprintf(&b, "| none | | %v | %v |\n", v.LongestStaleness[""].Round(time.Millisecond), slack)
	for _, kind := range faults(r.Options.Cluster) {
		fmt.Fprintf(&b, "| %s | %d | %v | %v |\n", kind.kind, v.Faults[kind.kind], v.LongestStaleness[kind.kind].Round(time.Millisecond), localTTL+slack)
	}
	return b.String()
}
