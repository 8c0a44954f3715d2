package chaos

import (
	"os"
	"runtime"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// Sample is the state of the process while no reader and no writer runs, and what they did
// since the sample before.
type Sample struct {
	Goroutines  int
	Heap        uint64 // bytes in use after a collection
	Descriptors int    // -1 where the system does not say
	Unconfirmed int    // invalidations in the journals

	Reads, Failed, Stale int
}

// fold takes a sample. It forgets all calls, and all invalidations but those by which later
// calls can be judged.
func (p *process) fold() Sample {
	p.load.stop()
	past := p.load.past()
	s := Sample{Reads: len(past.calls), Failed: past.failed()}
	s.Stale, _ = past.stale()
	recent := past.recent(history.Now() - int64(time.Minute))
	p.load = nil // so that the heap is without the calls
	for _, c := range p.caches {
		s.Unconfirmed += c.Stats().Unconfirmed
	}
	s.measure()
	p.begin(recent)
	return s
}

func (s *Sample) measure() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Goroutines, s.Heap, s.Descriptors = runtime.NumGoroutine(), m.HeapAlloc, descriptors()
}

// descriptors returns the number of open descriptors, where /proc has them.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries) - 1 // without that of the directory
}

// recent returns the invalidations that returned after a time, and the last one of each key.
func (p past) recent(after int64) (recent []history.Invalidated) {
	last := make(map[string]history.Invalidated)
	for _, i := range p.invalidated {
		switch before, ok := last[i.Key]; {
		case i.End >= after:
			recent = append(recent, i)
		case !ok || before.Version < i.Version:
			last[i.Key] = i
		}
	}
	for _, i := range last {
		recent = append(recent, i)
	}
	return recent
}
