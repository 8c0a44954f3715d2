package chaos

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

// Fault is a row of the table: servers, a fault, and the promises that hold under it.
type Fault struct {
	Name string

	on     func(*scene)               // starts the servers
	strike func(*scene) (mend func()) // begins the fault; nil for none
	again  func(*scene)               // repeats the fault while it lasts, or nil
	every  time.Duration              // between two repetitions
	brief  bool                       // mend waits for the end of the fault, which comes by itself

	gone    bool          // no command reaches Redis
	loses   bool          // Redis loses writes that it has acknowledged
	always  bool          // the fault is there from the start to the end
	dead    bool          // Redis is not there at the start
	lingers time.Duration // for how long replies of the fault come after its end
}

// nothing mends what needs no mending.
func nothing() {}

// Faults returns all faults, in the order of the table.
func Faults() []Fault {
	return slices.Concat(controls(), outages(), slowness(), refusals(), losses(), impostors(), failovers(), clusters())
}

const borrowedName = "-borrowed"

// borrowed returns the fault for a client with the defaults of go-redis, and a name that
// says so.
func borrowed(f Fault) Fault {
	on := f.on
	f.Name += borrowedName
	f.on = func(s *scene) {
		on(s)
		s.config.Client = plainClient
	}
	return f
}

func controls() []Fault {
	baseline := Fault{Name: "baseline", on: one}
	return []Fault{
		{Name: "nocache", on: func(s *scene) { s.config.Client = noCache }, always: true},
		baseline, borrowed(baseline),
	}
}

// outages are the faults under which no command reaches Redis, or none of some milliseconds.
func outages() []Fault {
	refused := Fault{Name: "refused", on: one, gone: true, strike: func(s *scene) func() {
		s.server.Kill()
		return s.server.Restart
	}}
	hung := Fault{Name: "hung", on: one, gone: true, strike: stop}
	hole := Fault{Name: "hole", on: linked, gone: true, strike: func(s *scene) func() {
		s.link.Drop()
		return s.link.Restore
	}}
	sleep := Fault{Name: "debug-sleep", on: one, gone: true, strike: func(s *scene) func() {
		slept := make(chan struct{})
		go func() {
			defer close(slept)
			_ = s.server.Client().Do(context.Background(), "debug", "sleep", s.lasts.Seconds()).Err()
		}()
		return func() { <-slept }
	}}
	return []Fault{
		refused, borrowed(refused), hung, borrowed(hung), hole, borrowed(hole), sleep, borrowed(sleep),
		{Name: "blips", on: one, every: 140 * time.Millisecond, again: func(s *scene) {
			s.server.Pause()
			<-time.After(60 * time.Millisecond)
			s.server.Resume()
		}},
		{Name: "loading", on: one, gone: true, strike: func(s *scene) func() {
			const perKey = 5 * time.Millisecond
			return s.server.Load(s.t, int(s.lasts/perKey)+200)
		}},
		{Name: "start-dead", on: one, dead: true, gone: true, strike: func(s *scene) func() {
			return s.server.Restart
		}},
	}
}

func stop(s *scene) func() {
	s.server.Pause()
	return s.server.Resume
}

// losses are the faults under which Redis loses records or entries.
func losses() []Fault {
	return []Fault{
		evicting("allkeys-lru", 0), evicting("allkeys-lru", 30<<10), evicting("allkeys-lfu", 0), evicting("allkeys-random", 0),
		evicting("volatile-ttl", 0), evicting("volatile-lru", 0),
		{Name: "restart-empty", on: one, brief: true, strike: func(s *scene) func() {
			s.server.Kill()
			return s.server.Restart
		}},
		{Name: "old-dump", on: one, loses: true, brief: true, strike: func(s *scene) func() {
			dump := s.server.Save()
			return func() {
				<-time.After(time.Second) // whose writes are lost
				s.server.Kill()
				s.server.RestartFrom(dump)
			}
		}},
		{Name: "script-flush", on: one, every: 20 * time.Millisecond, again: func(s *scene) { s.admin("script", "flush") }},
		{Name: "flushall", on: one, every: 20 * time.Millisecond, again: func(s *scene) { s.admin("flushall") }},
	}
}

// evicting returns a fault of a server that evicts by a policy, and has a little more memory
// than it uses.
func evicting(policy string, more int) Fault {
	name := policy
	if more > 0 {
		name += "-" + strconv.Itoa(more>>10) + "k"
	}
	return Fault{Name: name, on: one, strike: func(s *scene) func() {
		s.admin("config", "set", "maxmemory-policy", policy)
		s.admin("config", "set", "maxmemory", s.usedMemory()+more)
		return func() { s.admin("config", "set", "maxmemory", 0) }
	}}
}

func (s *scene) usedMemory() int {
	s.t.Helper()
	info := s.server.Client().InfoMap(context.Background(), "memory")
	n, err := strconv.Atoi(info.Item("Memory", "used_memory"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// failovers are the faults of a primary that Sentinels watch.
func failovers() []Fault {
	// awaitSwitch returns a function that waits until all Sentinels name another primary.
	awaitSwitch := func(s *scene) func() {
		old := s.server.Addr()
		return func() {
			redistest.Eventually(s.t, soon, "the Sentinels name another primary", func() bool {
				for _, sentinel := range s.sentinels {
					if sentinel.Primary() == old {
						return false
					}
				}
				return true
			})
		}
	}
	// A failover that nobody asked for, on a busy machine, would lose writes after the other.
	sentinel, patient := sentinels(time.Second), sentinels(time.Minute)
	return []Fault{
		{Name: "sentinel-kill", on: sentinel, loses: true, brief: true, strike: func(s *scene) func() {
			await := awaitSwitch(s)
			s.server.Kill()
			return await
		}},
		{Name: "sentinel-stop", on: sentinel, loses: true, brief: true, strike: func(s *scene) func() {
			await := awaitSwitch(s)
			s.server.Pause()
			return func() {
				await()
				s.server.Resume()
			}
		}},
		{Name: "sentinel-manual", on: patient, loses: true, brief: true, strike: func(s *scene) func() {
			await := awaitSwitch(s)
			return func() {
				s.sentinels[0].Failover()
				await()
			}
		}},
	}
}

// closeClients closes the connections of the instances.
func (s *scene) closeClients() { s.admin("client", "kill", "user", user) }
