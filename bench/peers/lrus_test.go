package peers_test

import (
	"errors"
	"testing"
	"time"

	"github.com/Yiling-J/theine-go"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/samber/hot"
	"github.com/viccon/sturdyc"

	"github.com/nearside-go/nearside/bench/peers"
)

const lruEntries = 10_000

var errMiss = errors.New("miss")

// lrus are libraries without a remote tier. The first is the one that nearside is built on.
var lrus = []struct {
	name   string
	module string
	open   func(t *testing.T, keys []string) (hit func(string) error)
}{
	{"golang-lru", "github.com/hashicorp/golang-lru/v2", openGolangLRU},
	{"otter", "github.com/maypok86/otter/v2", openOtter},
	{"theine", "github.com/Yiling-J/theine-go", openTheine},
	{"sturdyc", "github.com/viccon/sturdyc", openSturdyc},
	{"hot", "github.com/samber/hot", openHot},
}

func openGolangLRU(t *testing.T, keys []string) func(string) error {
	c := newGolangLRU(t, lruEntries)
	for _, key := range keys {
		c.Add(key, sample)
	}
	return found(c.Get)
}

func newGolangLRU(t *testing.T, entries int) *lru.Cache[string, peers.User] {
	c, err := lru.New[string, peers.User](entries)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func openOtter(t *testing.T, keys []string) func(string) error {
	c, err := otter.New(&otter.Options[string, peers.User]{MaximumSize: lruEntries})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		c.Set(key, sample)
	}
	return found(c.GetIfPresent)
}

func openTheine(t *testing.T, keys []string) func(string) error {
	c, err := theine.NewBuilder[string, peers.User](lruEntries).Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, key := range keys {
		c.Set(key, sample, 1)
	}
	return found(c.Get)
}

func openSturdyc(_ *testing.T, keys []string) func(string) error {
	const shards, evicted = 10, 10 // as in its README
	c := sturdyc.New[peers.User](lruEntries, shards, time.Hour, evicted)
	for _, key := range keys {
		c.Set(key, sample)
	}
	return found(c.Get)
}

func openHot(_ *testing.T, keys []string) func(string) error {
	c := hot.NewHotCache[string, peers.User](hot.LRU, lruEntries).Build()
	for _, key := range keys {
		c.Set(key, sample)
	}
	return func(key string) error {
		if _, ok, err := c.Get(key); err != nil || !ok {
			return errors.Join(errMiss, err)
		}
		return nil
	}
}

func found(get func(string) (peers.User, bool)) func(string) error {
	return func(key string) error {
		if _, ok := get(key); !ok {
			return errMiss
		}
		return nil
	}
}
