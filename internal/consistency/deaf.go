package consistency

import (
	"math/rand/v2"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/redis"
)

// deaf is a faulty Store, which does not deliver some entries of the log. The judge has to
// find the stale reads that follow.
type deaf struct{ *redis.Store }

// deafTo is the number of names of which one is lost on average.
const deafTo = 8

func (d deaf) Follow(name string, f remote.Follower) (stop func(), err error) {
	return d.Store.Follow(name, deafFollower{f})
}

type deafFollower struct{ remote.Follower }

func (f deafFollower) Invalidated(name string, at remote.Position, own bool) {
	if rand.N(deafTo) > 0 {
		f.Follower.Invalidated(name, at, own)
	}
}
