package consistency

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/internal/redistest"
)

// fault is a kind of fault. Strike breaks something, and returns whose fault it is and
// what mends it.
type fault struct {
	kind   string
	longer bool // it stands for a while before it is mended
	strike func(f *Fleet, r *rand.Rand) (instance int, mend func())
}

func (f *Fleet) someone(r *rand.Rand) *member { return f.members[r.IntN(len(f.members))] }

func (f *Fleet) someServer(r *rand.Rand) *redistest.Server { return f.servers[r.IntN(len(f.servers))] }

// link makes a fault of what is done to all links of one member.
func link(kind string, longer bool, do func(*member)) fault {
	return fault{kind, longer, func(f *Fleet, r *rand.Rand) (int, func()) {
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

// take makes a fault of what is taken from a server.
func take(kind string, do func(ctx context.Context, s *redistest.Server)) fault {
	return fault{kind, false, func(f *Fleet, r *rand.Rand) (int, func()) {
		for _, s := range f.servers {
			do(context.Background(), s)
		}
		return history.All, func() {}
	}}
}

// faults are those of a fleet on one server, or on a Cluster.
func faults(cluster bool) []fault {
	kinds := []fault{
		link("connections cut", true, each(func(m *member, i int) { m.links[i].Cut() })),
		link("connections frozen", true, each(func(m *member, i int) { m.links[i].Freeze() })),
		link("connections half open", true, each(func(m *member, i int) { m.links[i].Drop() })),
		link("connections half open, new ones work", false, each(func(m *member, i int) { m.links[i].Drop() })),
		link("connections reset", false, each(func(m *member, i int) { m.links[i].KillAll() })),
		{"process killed", true, func(f *Fleet, r *rand.Rand) (int, func()) {
			m := f.someone(r)
			m.kill()
			return m.config.Instance, func() { f.start(m) }
		}},
		{"Redis killed, back empty", true, func(f *Fleet, r *rand.Rand) (int, func()) {
			s := f.someServer(r)
			s.Kill()
			return history.All, s.Restart
		}},
		{"Redis stopped", true, func(f *Fleet, r *rand.Rand) (int, func()) {
			s := f.someServer(r)
			s.Pause()
			return history.All, s.Resume
		}},
		take("log trimmed", func(ctx context.Context, s *redistest.Server) {
			_ = s.Client().XTrimMaxLen(ctx, prefix+":log", 0).Err() // where the log does not live, that is an error
		}),
		take("log deleted", func(ctx context.Context, s *redistest.Server) { _ = s.Client().Del(ctx, prefix+":log").Err() }),
		take("Redis flushed", func(ctx context.Context, s *redistest.Server) { _ = s.Client().FlushAll(ctx).Err() }),
		take("positions of tags evicted", func(ctx context.Context, s *redistest.Server) { del(ctx, s, prefix+":c::*") }),
		take("leases and tombstones evicted", func(ctx context.Context, s *redistest.Server) { del(ctx, s, prefix+":c:0:*", "L", "T") }),
	}
	if cluster {
		kinds = append(kinds, move("slot of the log moved", func(*rand.Rand) string { return prefix + ":log" }),
			move("slot of a key moved", func(r *rand.Rand) string { return prefix + ":c:0:" + plainKey(r.IntN(20)) }))
	}
	return kinds
}

// move makes a fault of a slot that moves to another node.
func move(kind string, key func(*rand.Rand) string) fault {
	return fault{kind, false, func(f *Fleet, r *rand.Rand) (int, func()) {
		f.cluster.MoveSlot(key(r), f.someServer(r))
		return history.All, func() {}
	}}
}

// del deletes the keys of s that match pattern, and begin with one of kinds, if any.
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

// strike lets one fault happen, and records it.
func (f *Fleet) strike(what fault) {
	start := history.Now()
	instance, mend := what.strike(f, f.random)
	if what.longer {
		time.Sleep(100*time.Millisecond + rand.N(1500*time.Millisecond))
	}
	mend()
	f.history.Faults = append(f.history.Faults, history.Fault{Kind: what.kind, Instance: instance, Start: start, End: history.Now()})
}
