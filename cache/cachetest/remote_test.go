package cachetest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

func TestServerConforms(t *testing.T) {
	cachetest.TestRemote(t, func(t *testing.T, check func(*testing.T, cachetest.Harness)) {
		synctest.Test(t, func(t *testing.T) {
			s := cachetest.NewServer()
			a, b := s.Remote(), s.Remote()
			check(t, cachetest.Harness{
				A: a, B: b, Crash: a.Crash,
				LeaseTTL:  cachetest.DefaultLeaseTTL,
				Sleep:     time.Sleep,
				Tombstone: s.Tombstone,
				Corrupt:   s.Corrupt,
			})
		})
	})
}
