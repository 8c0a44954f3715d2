package cache

import (
	"strconv"
	"sync/atomic"

	"github.com/nearside-go/nearside/loader"
	"github.com/nearside-go/nearside/local"
)

// Cache is a cache-aside cache in two tiers. All its methods are safe for
// concurrent use. Make one with New, and one only for each kind of value in a
// process: two of them do not see each other's local tiers. New refuses the second of
// a name on one Remote.
//
// Values are shared: the local tier hands out what the loader returned. Treat
// what they point to as read-only.
type Cache[K comparable, V any] struct {
	// What a local hit needs comes first, and so lies together.
	local  *local.Store[K, *entry[V]]
	traced bool // opts.Trace.Hit is not nil
	known  known

	opts      Options[K, V]
	turns     atomic.Uint64
	absences  atomic.Int32               // reads in a row that found nothing in the remote tier
	prefix    string                     // of this cache's remote keys
	tagPrefix string                     // of the names of its tags
	reads     loader.Group[K, answer[V]] // flights of Get, which only read
	loads     loader.Group[K, answer[V]] // flights of GetOrLoad
	limit     *loader.Limit
	gate      gate
	flying    atomic.Int32 // flights of GetOrLoad at work, after they have answered their callers, too
	touching  atomic.Int32 // touches under way
	recording atomic.Int32 // recordings of tags that run
	counters  counters
	warned    warned

	distrusted distrusted
	retries    retries
	recorded   recorded
	banned     banned
	unfollow   func()                 // ends what the log tells this cache
	parseKey   func(string) (K, bool) // undoes opts.Key; nil if only names can
	keys       keyIndex[K]
}

// entry is what the local tier holds, by reference: a hit then copies the value
// once, for the caller, and not from function to function. Nothing in it changes
// but checked.
type entry[V any] struct {
	checked  atomic.Uint64 // the last of known.drops that it was found right at; first, to be near the value
	value    V
	notFound bool
	tags     []string
}

// New returns a Cache, or every problem of its options, joined, each naming its
// field, or ErrFollowed. It sends nothing to the remote tier.
func New[K comparable, V any](o Options[K, V]) (*Cache[K, V], error) {
	givenKey := o.Key != nil
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	// The bound on a copy's time is given with each copy, with jitter.
	store, err := local.New[K, *entry[V]](local.Options{MaxEntries: o.Local.MaxEntries, MaxCost: o.Local.MaxCost})
	if err != nil {
		return nil, err
	}
	_, parse := builtinKey[K]()
	if givenKey {
		parse = nil
	}
	c := &Cache[K, V]{
		opts:      o,
		traced:    o.Trace.Hit != nil,
		prefix:    o.Name + ":" + strconv.Itoa(o.Schema) + ":",
		tagPrefix: o.Name + "::",
		local:     store,
		limit:     loader.NewLimit(o.MaxLoads),
		unfollow:  func() {},
		parseKey:  parse,
	}
	if o.Remote != nil {
		if c.unfollow, err = o.Remote.Follow(o.Name, follower[K, V]{c}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close waits for the loads and the background work that run, empties the local
// tier and returns nil. As soon as it has begun, calls that start later return
// ErrClosed, and the calls under way are served to their end. It leaves the Remote
// open, where the cache's name is free once Close has returned. Calling it again does
// the same.
func (c *Cache[K, V]) Close() error {
	// A local hit does not ask the gate. It misses once every local entry is wrong:
	//
	//  1. A load marks what it knows, so that its entry is right as of now.
	//  2. The gate closes. Every entry from before is declared wrong.
	//  3. The load publishes its entry. Close waits for another load.
	//  4. Another instance's invalidation arrives too late for this caller, or the
	//     caller's own is refused with ErrClosed. A Get finds the entry of step 3.
	//
	// The entry is wrong, because the mark is older than step 2. A load that marks
	// after step 2 finds the gate closed at step 3, and publishes nothing. Were the
	// gate closed after the entries are declared wrong, a load that marks in between
	// would publish an entry that is right.
	c.gate.close()
	c.known.dropLocal()
	c.local.Clear()
	c.gate.wait()
	c.reads.Wait()
	c.loads.Wait()
	c.local.Clear() // of what was published at step 3
	c.unfollow()
	return nil
}

func (c *Cache[K, V]) remoteKey(key K) string { return c.prefix + c.opts.Key(key) }
