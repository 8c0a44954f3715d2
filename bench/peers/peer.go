package peers

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	localEntries = 10_000
	localTTL     = time.Minute // as in the examples of the libraries

	// ristrettoCost is more than the cost of an entry in Ristretto, which adds its own
	// overhead of some 50 to the cost of 1 that it is given. Without this factor a limit of
	// 10,000 would hold fewer than 200 entries.
	ristrettoCost = 100
)

// User is a value of the caches.
type User struct {
	ID      int64
	Name    string
	Email   string
	Age     int
	Created time.Time
	Text    string `json:",omitempty"` // for a larger value
}

// Settings are the same for all libraries.
type Settings struct {
	TTL     time.Duration
	MaxAge  time.Duration // of the libraries that have one
	NoLocal bool          // every Get is to ask Redis: no local tier, or one that holds one entry
	Load    func(ctx context.Context, key string) (User, error)

	LoadMany func(ctx context.Context, keys []string) (map[string]User, error) // of libraries with batches
}

// Instance is a cache of one process of a service, with a client of its own.
type Instance interface {
	// Get returns the value of key from the cache, or loads it.
	Get(ctx context.Context, key string) (User, error)

	// Delete is called after the source has changed.
	Delete(ctx context.Context, key string) error

	Close() error
}

// Batches is an Instance of a library that gets many keys in one call.
type Batches interface {
	Instance

	// GetMany returns the values of keys from the cache, and loads the missing keys together.
	GetMany(ctx context.Context, keys []string) (map[string]User, error)

	// Background returns the number of fills in the background.
	Background() int
}

// Peer is a library.
type Peer struct {
	Name      string
	Module    string
	LocalTier bool
	Open      func(url string, s Settings) (Instance, error)
}

// Nearside is the name of the library whose promises are checked.
const Nearside = "nearside"

// All returns the libraries, nearside first.
func All() []Peer {
	return []Peer{
		{Nearside, "github.com/nearside-go/nearside", true, openNearside},
		{"go-redis/cache", "github.com/go-redis/cache/v9", true, openGoRedisCache},
		{"jetcache-go", "github.com/mgtv-tech/jetcache-go", true, openJetcache},
		{"gocache", "github.com/eko/gocache/lib/v4", true, openGocache},
		{"rockscache", "github.com/dtm-labs/rockscache", false, openRockscache},
	}
}

// WithBatches returns the libraries whose instances are Batches, nearside first.
func WithBatches() []Peer {
	return []Peer{
		{Nearside, "github.com/nearside-go/nearside", true, openNearside},
		{"sturdyc", "github.com/viccon/sturdyc", true, openSturdyc},
		{"jetcache-go", "github.com/mgtv-tech/jetcache-go", true, openJetcache},
	}
}

// dial returns a client with the defaults of go-redis.
func dial(url string) (*goredis.Client, error) {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return goredis.NewClient(options), nil
}
