package consistency

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The configuration of all instances, besides Config.
const (
	logTimeout    = 500 * time.Millisecond
	mutateTimeout = 2 * time.Second
	budget        = 100 * time.Millisecond
	loadTakes     = 3 * time.Millisecond // at most
)

// Config is the configuration of a process, in JSON.
type Config struct {
	Instance int               // one for each process, not for each place in the fleet
	Seed     uint64            // of the clients' random numbers
	Source   string            // address of the source
	Redis    map[string]string // from a server's address to that of the link to it
	Local    time.Duration     // Local.TTL
	Cluster  bool
	Plain    bool
	Deaf     bool
	File     string // for its history
	Readers  int
	Writers  int
}

// The keys: plain keys are invalidated by name, by tag or with everything; mutated keys are
// written by Mutate only.
const (
	plainKeys   = 240
	mutatedKeys = 60
	groups      = 20
)

func plainKey(i int) string { return fmt.Sprintf("k%d", i) }

func mutatedKey(i int) string { return fmt.Sprintf("m%d", i) }

// Keys returns all keys, the mutated keys last.
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

// group returns the tag of key number i's group. A value also has a tag with its version.
func group(i int) string { return fmt.Sprintf("group%d", i%groups) }

// inGroup returns some keys of a group.
func inGroup(r *rand.Rand, g int) (keys []string) {
	for range 1 + r.IntN(3) {
		keys = append(keys, plainKey(g+groups*r.IntN(plainKeys/groups)))
	}
	return keys
}
