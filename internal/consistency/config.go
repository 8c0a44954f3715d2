package consistency

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// What the instances are configured with, besides Config.
const (
	logTimeout    = 500 * time.Millisecond
	mutateTimeout = 2 * time.Second
	budget        = 100 * time.Millisecond
	loadTakes     = 3 * time.Millisecond // at most
)

// Config is what a process is told, in JSON.
type Config struct {
	Instance int               // its number: one for each process, not one for each place in the fleet
	Seed     uint64            // of what its clients do
	Source   string            // address of the source
	Redis    map[string]string // address of each server, and of the link that leads to it
	Local    time.Duration     // Local.TTL
	Cluster  bool
	Plain    bool
	Deaf     bool
	File     string // for its history
	Readers  int
	Writers  int
}

// The keys: some that are invalidated by name, by tag or with everything, and some that
// only Mutate writes.
const (
	plainKeys   = 240
	mutatedKeys = 60
	groups      = 20
)

func plainKey(i int) string { return fmt.Sprintf("k%d", i) }

func mutatedKey(i int) string { return fmt.Sprintf("m%d", i) }

// Keys returns all keys, those of Mutate last.
func Keys() (keys []string) {
	for i := range plainKeys {
		keys = append(keys, plainKey(i))
	}
	return append(keys, MutatedKeys()...)
}

// MutatedKeys returns the keys that only Mutate writes.
func MutatedKeys() (keys []string) {
	for i := range mutatedKeys {
		keys = append(keys, mutatedKey(i))
	}
	return keys
}

// group is the tag of a key's value, which it has besides one of its version.
func group(i int) string { return fmt.Sprintf("group%d", i%groups) }

// inGroup returns some keys of a group.
func inGroup(r *rand.Rand, g int) (keys []string) {
	for range 1 + r.IntN(3) {
		keys = append(keys, plainKey(g+groups*r.IntN(plainKeys/groups)))
	}
	return keys
}
