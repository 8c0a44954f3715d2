package chaos

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// source is the system of record, in memory: a version for each key.
type source struct {
	loads atomic.Int64

	mu       sync.Mutex // guards versions
	versions [keys]int64
}

func keyName(i int) string { return "k" + strconv.Itoa(i) }

// commit gives a key its next version.
func (s *source) commit(i int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[i]++
	return s.versions[i]
}

// load reads a key's version, and then takes its time, so that a commit may come in between.
func (s *source) load(_ context.Context, key string) (value, error) {
	s.loads.Add(1)
	i, err := strconv.Atoi(key[1:])
	if err != nil {
		return value{}, err
	}
	s.mu.Lock()
	v := value{key, s.versions[i]}
	s.mu.Unlock()
	time.Sleep(loadTakes)
	return v, nil
}
