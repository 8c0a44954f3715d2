package consistency

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/internal/redistest"
)

// fault is a kind of fault. strike breaks something. It returns the affected instance, and
// a function that ends the fault.
type fault struct {
	kind     string
	longer   bool          // lasts for a while before mend
	recovery time.Duration // nothing, or how long the log is delayed after the end
	after    time.Duration // without another fault before
	strike   func(f *Fleet, r *rand.Rand) (instance int, mend func())
}

func (f *Fleet) someone(r *rand.Rand) *member { return f.members[r.IntN(len(f.members))] }

func (f *Fleet) someServer(r *rand.Rand) *redistest.Server { return f.servers[r.IntN(len(f.servers))] }

// link returns a fault that does something to all links of one member.
func link(kind string, longer bool, recovery time.Duration, do func(*member)) fault {
	return fault{kind: kind, longer: longer, recovery: recovery, strike: func(f *Fleet, r *rand.Rand) (int, func()) {
		m := f.someone(r)
		do(m)
		return m.config.Instance, func() {
			for _, l := range m.links {
				l.Restore()
			}
		}
	}}
}

func each(what func(*member, int)) func(*member) {
	return func(m *member) {
		for i := range m.links {
			what(m, i)
		}
	}
}

// take returns a fault that removes something from all servers. Such a fault delays no
// entry: the log is still read, and a reader that misses entries in it drops its local
// tier.
func take(kind string, do func(ctx context.Context, s *redistest.Server)) fault {
	return fault{kind: kind, strike: func(f *Fleet, r *rand.Rand) (int, func()) {
		for _, s := range f.servers {
			do(context.Background(), s)
		}
		return history.All, func() {}
	}}
}

// serverOf chooses a server of a fleet: the server of the log, or another. Only the server
// of the log can delay entries. The others delay calls.
type serverOf func(*Fleet, *rand.Rand) *redistest.Server

func (f *Fleet) logServer(*rand.Rand) *redistest.Server {
	if f.cluster == nil {
		return f.servers[0]
	}
	return f.cluster.Node(logKey)
}

func (f *Fleet) anotherServer(r *rand.Rand) *redistest.Server {
	log := f.logServer(r)
	for {
		if s := f.someServer(r); s != log {
			return s
		}
	}
}

// kill and stop return faults of a server. A fault ends when the server serves again.
func kill(kind string, recovery time.Duration, which serverOf) fault {
	return fault{kind: kind, longer: true, recovery: recovery, strike: func(f *Fleet, r *rand.Rand) (int, func()) {
		s := which(f, r)
		s.Kill()
		return history.All, func() { s.Restart(); f.serves(s) }
	}}
}

func stop(kind string, recovery time.Duration, which serverOf) fault {
	return fault{kind: kind, longer: true, recovery: recovery, strike: func(f *Fleet, r *rand.Rand) (int, func()) {
		s := which(f, r)
		s.Pause()
		return history.All, func() { s.Resume(); f.serves(s) }
	}}
}

// revert returns a fault of a server that comes back with a dump from the beginning of the
// fault, as a replica does that was behind. What it had acknowledged in the meantime is lost.
func revert(kind string, recovery time.Duration, which serverOf) fault {
	return fault{kind: kind, longer: true, recovery: recovery, strike: func(f *Fleet, r *rand.Rand) (int, func()) {
		s := which(f, r)
		dump := s.Save()
		time.Sleep(100*time.Millisecond + time.Duration(r.Int64N(int64(400*time.Millisecond))))
		s.Kill()
		return history.All, func() { s.RestartFrom(dump); f.serves(s) }
	}}
}

// serves waits until a node of a Cluster reports the cluster as ok. After a restart, or a
// long stop, a node accepts no commands for seconds.
func (f *Fleet) serves(s *redistest.Server) {
	f.t.Helper()
	if f.cluster == nil {
		return
	}
	redistest.Eventually(f.t, 20*time.Second, "the node serves", func() bool {
		info, err := s.Client().ClusterInfo(context.Background()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
}

// breakerCloses is the longest time from the return of Redis until the breaker closes.
// Before that, nothing is promised if a process is killed in a Mutate whose tombstones
// Redis did not get.
const breakerCloses = 2*time.Second + budget

// faults returns the kinds of faults for a fleet on one server, or on a Cluster.
func faults(cluster bool) []fault {
	kinds := []fault{
		link("connections cut", true, reconnects, each(func(m *member, i int) { m.links[i].Cut() })),
		link("connections frozen", true, reconnects, each(func(m *member, i int) { m.links[i].Freeze() })),
		link("connections half open", true, notices, each(func(m *member, i int) { m.links[i].Drop() })),
		link("connections half open, new ones work", false, notices, each(func(m *member, i int) { m.links[i].Drop() })),
		link("connections reset", false, reconnects, each(func(m *member, i int) { m.links[i].KillAll() })),
		{kind: "process killed", longer: true, after: breakerCloses, strike: func(f *Fleet, r *rand.Rand) (int, func()) {
			m := f.someone(r)
			m.process.Kill()
			return m.config.Instance, func() { f.start(m) }
		}},
		take("log trimmed", func(ctx context.Context, s *redistest.Server) {
			_ = s.Client().XTrimMaxLen(ctx, logKey, 0).Err() // an error on nodes without the log
		}),
		take("log deleted", func(ctx context.Context, s *redistest.Server) { _ = s.Client().Del(ctx, logKey).Err() }),
		take("Redis flushed", func(ctx context.Context, s *redistest.Server) { _ = s.Client().FlushAll(ctx).Err() }),
		take("positions of tags evicted", func(ctx context.Context, s *redistest.Server) { del(ctx, s, prefix+":c::*") }),
		take("leases and tombstones evicted", func(ctx context.Context, s *redistest.Server) { del(ctx, s, prefix+":c:0:*", "L", "T") }),
	}
	if !cluster {
		return append(kinds,
			kill("Redis killed, back empty", reconnects, (*Fleet).logServer),
			revert("Redis killed, back from an old dump", repeats, (*Fleet).logServer),
			stop("Redis stopped", reconnects, (*Fleet).logServer))
	}
	return append(kinds,
		kill("node of the log killed, back empty", reconnects, (*Fleet).logServer),
		revert("node of the log killed, back from an old dump", repeats, (*Fleet).logServer),
		stop("node of the log stopped", reconnects, (*Fleet).logServer),
		kill("another node killed, back empty", nothing, (*Fleet).anotherServer),
		stop("another node stopped", nothing, (*Fleet).anotherServer),
		move("slot of the log moved", moves, func(*rand.Rand) string { return logKey }),
		move("slot of a key moved", nothing, func(r *rand.Rand) string { return prefix + ":c:0:" + plainKey(r.IntN(20)) }))
}

// move returns a fault that moves a slot to another node.
func move(kind string, recovery time.Duration, key func(*rand.Rand) string) fault {
	return fault{kind: kind, recovery: recovery, strike: func(f *Fleet, r *rand.Rand) (int, func()) {
		f.cluster.MoveSlot(key(r), f.someServer(r))
		return history.All, func() {}
	}}
}

// del deletes the keys of s that match pattern. With kinds it deletes only records that
// begin with one of them.
func del(ctx context.Context, s *redistest.Server, pattern string, kinds ...string) {
	keys, _ := s.Client().Keys(ctx, pattern).Result()
	for _, key := range keys {
		kind, _ := s.Client().GetRange(ctx, key, 0, 0).Result()
		for _, k := range kinds {
			if kind == k {
				_ = s.Client().Del(ctx, key).Err()
			}
		}
		if len(kinds) == 0 {
			_ = s.Client().Del(ctx, key).Err()
		}
	}
}

// strike injects one fault, ends it, and records it.
func (f *Fleet) strike(what fault) {
	f.t.Helper()
	time.Sleep(what.after)
	for _, s := range f.servers {
		f.serves(s)
	}
	start := history.Now()
	instance, mend := what.strike(f, f.random)
	if what.longer {
		time.Sleep(f.standing())
	}
	mend()
	f.history.Faults = append(f.history.Faults, history.Fault{Kind: what.kind, Instance: instance, Start: start, End: history.Now()})
}

const standsAtMost = 2500 * time.Millisecond

// standing returns how long a fault lasts. One fault in four lasts longer than the shorter
// of the two Local.TTLs.
func (f *Fleet) standing() time.Duration {
	if f.random.IntN(4) == 0 {
		const longer = 1200 * time.Millisecond
		return longer + time.Duration(f.random.Int64N(int64(standsAtMost-longer)))
	}
	return 100*time.Millisecond + time.Duration(f.random.Int64N(int64(time.Second)))
}
