package consistency

import (
	"math/rand/v2"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/redis"
)

// deaf is a Store that does not tell of some entries of the log, which the judge has to
// find out.
type deaf struct{ *redis.Store }

// deafTo is of how many entries one is lost.
const deafTo = 8

func (d deaf) Follow(name string, f cache.Follower) (stop func(), err error) {
	return d.Store.Follow(name, deafFollower{f})
}

type deafFollower struct{ cache.Follower }

func (f deafFollower) Invalidated(name string, at cache.Position, own bool) {
	if rand.N(deafTo) > 0 {
		f.Follower.Invalidated(name, at, own)
	}
}
