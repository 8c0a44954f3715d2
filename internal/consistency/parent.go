package consistency

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/internal/redistest"
)

// Options describe the fleet and its run.
type Options struct {
	For     time.Duration
	Local   time.Duration // Local.TTL; required
	Seed    uint64
	Cluster bool // three primaries instead of one server
	Plain   bool // plain cache-aside instead of nearside
	Deaf    bool // some entries of the log are not delivered
	Calm    bool // without faults
}

// The size of the fleet.
const (
	processes = 4
	readers   = 6 // of a process
	writers   = 2
	primaries = 3
)

// Fleet is a running fleet.
type Fleet struct {
	t       testing.TB
	o       Options
	dir     string
	servers []*redistest.Server
	cluster *redistest.Cluster
	source  *Source
	addr    string // of the source
	members []*member
	started int // processes started so far
	random  *rand.Rand
	history history.History // faults, and the values that the parent finds at rest
	begun   int64
	sums    []Summary
}

// Play runs a fleet, has its history judged, and returns the result.
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
	c := Config{Source: f.addr, Local: f.o.Local, Cluster: f.o.Cluster, Plain: f.o.Plain, Deaf: f.o.Deaf, Readers: readers, Writers: writers, Seed: f.o.Seed}
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

// disturb injects one fault after the other, each kind equally often, with time to recover
// in between. About every second time it looks for old values that were left behind.
func (f *Fleet) disturb() {
	f.t.Helper()
	until := time.Now().Add(f.o.For)
	if f.o.Calm {
		time.Sleep(f.o.For)
		return
	}
	kinds := faults(f.o.Cluster)
	time.Sleep(500 * time.Millisecond)
	for {
		f.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, kind := range kinds {
			if time.Until(until) < 0 {
				return
			}
			f.strike(kind)
			if !f.o.Plain && f.random.IntN(2) == 0 {
				f.look(kind.recovery)
			} else {
				time.Sleep(300*time.Millisecond + time.Duration(f.random.Int64N(int64(time.Second))))
			}
		}
	}
}

// look makes every instance report the values that it holds, once a fault has been
// recovered from: the running instances, and one that starts now. The writes have ended
// before, so that no later invalidation removes an old value that was left behind.
func (f *Fleet) look(recovery time.Duration) {
	f.t.Helper()
	f.tellAll(quiet)
	time.Sleep(recovery + slack)
	f.tellAll(rest)
	f.late()
	f.tellAll(resume)
}

// settle looks for old values that the last fault has left behind, and again when the
// tombstones of killed processes have lapsed.
func (f *Fleet) settle() {
	f.t.Helper()
	if !f.o.Plain {
		f.look(longestRecovery)
	}
	time.Sleep(mutateTimeout)
	f.tellAll(quiet)
	time.Sleep(slack)
	if !f.o.Plain {
		f.finalVersions()
		time.Sleep(slack)
		f.late()
	}
	f.tellAll(rest)
	f.tellAll(end, func(m *member, said string) {
		var s Summary
		if err := json.Unmarshal([]byte(said), &s); err != nil {
			f.t.Errorf("process %d: %v", m.config.Instance, err)
		}
		f.sums = append(f.sums, s)
	})
}

// tellAll sends a command to all members at the same time, and returns when all have
// answered.
func (f *Fleet) tellAll(command string, heard ...func(m *member, said string)) {
	f.t.Helper()
	for _, m := range f.members {
		m.process.Tell(command)
	}
	for _, m := range f.members {
		said := m.process.Hear()
		for _, h := range heard {
			h(m, said)
		}
	}
}

// finalVersions records an invalidation of the keys that only Mutate writes, with their
// last versions. After a Mutate no older value is left, even if its process was killed.
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

// late starts an instance at rest, and records the values that it reads from Redis.
func (f *Fleet) late() {
	f.t.Helper()
	c := Config{Redis: make(map[string]string), Local: f.o.Local, Cluster: f.o.Cluster}
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
