package chaos

import "time"

// slowness has the faults of the way to Redis under which some replies come, late or not.
func slowness() []Fault {
	delay200 := delayed("delay200", 200*time.Millisecond)
	delay200.gone = true
	grey3, drip := grey("grey3", 3), dripping()
	resets := Fault{Name: "resets", on: linked, every: 50 * time.Millisecond, again: func(s *scene) { s.link.KillAll() }}
	kills := Fault{Name: "client-kill", on: one, every: 50 * time.Millisecond, again: (*scene).closeClients}
	return []Fault{
		delay200, borrowed(delay200), delayed("delay40", 40*time.Millisecond), delayed("delay15", 15*time.Millisecond),
		grey3, borrowed(grey3), grey("grey10", 10),
		drip, borrowed(drip), resets, borrowed(resets), kills, borrowed(kills),
	}
}

// delayed returns a fault that makes each round trip longer.
func delayed(name string, by time.Duration) Fault {
	return Fault{Name: name, on: linked, lingers: by, strike: func(s *scene) func() {
		s.link.DelayReplies(1, by)
		return func() { s.link.DelayReplies(0, 0) }
	}}
}

// grey returns a fault that delays each n-th reply by 100 ms.
func grey(name string, n int) Fault {
	return Fault{Name: name, on: linked, strike: func(s *scene) func() {
		s.link.DelayReplies(n, 100*time.Millisecond)
		return func() { s.link.DelayReplies(0, 0) }
	}}
}

// dripping returns a fault that lets one byte of the replies through each 5 ms.
func dripping() Fault {
	return Fault{Name: "drip", on: linked, gone: true, strike: func(s *scene) func() {
		s.link.Drip(5 * time.Millisecond)
		return func() { s.link.Drip(0) }
	}}
}
