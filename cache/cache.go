package cache

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/internal/guard"
	"github.com/nearside-go/nearside/cache/internal/journal"
	"github.com/nearside-go/nearside/cache/internal/validity"
	"github.com/nearside-go/nearside/internal/hook"
	"github.com/nearside-go/nearside/loader"
	"github.com/nearside-go/nearside/local"
)

// Cache is a cache-aside cache in two tiers. All its methods are safe for concurrent use.
// Make a Cache with New, and only one for each kind of value in a process: two Caches do not
// see each other's local tiers. New refuses a second Cache of a name on one Remote.
//
// Values are shared: a local hit returns the very value that the loader returned. Treat
// everything that a value points to as read-only.
type Cache[K comparable, V any] struct {
	// The fields that a local hit needs come first, and so lie together.
	local         *local.Store[K, *entry[V]]
	traced        bool // opts.Trace.Hit is not nil
	invalidations validity.Invalidations

	opts      Options[K, V]
	turns     atomic.Uint64
	absences  atomic.Int32               // reads in a row that found no record in the remote tier
	slowReads atomic.Int32               // reads in a row that took more than half of the budget
	repeats   pace                       // of repeatFrom
	hooks     *hook.Guard                // of DeadLetters
	prefix    string                     // of this cache's remote keys
	tagPrefix string                     // of the names of its tags
	reads     loader.Group[K, answer[V]] // flights of Get, which only read
	loads     loader.Group[K, answer[V]] // flights of GetOrLoad
	limit     *loader.Limit
	gate      gate
	flying    atomic.Int32 // flights of GetOrLoad, until their fills have ended
	touching  atomic.Int32 // touches under way
	recording atomic.Int32 // recordings of tags under way

	revalidating atomic.Int32 // loads in the background under way
	loadTime     atomic.Int64 // the average duration of a load, in nanoseconds; 0 before the first

	counters counters
	warned   warned

	journal  journal.Journal
	memory   validity.Memory
	recorder validity.Recorder
	guarded  guard.Keys
	unfollow func()                 // ends the delivery of the log to this cache
	parseKey func(string) (K, bool) // undoes opts.Key; nil if only keys can
	keys     keyIndex[K]
	closed   chan struct{}
	closeErr error // written before closed is closed
}

// entry is an entry of the local tier, which holds it by reference: a hit copies the value
// once, for the caller, and not from function to function. Only epoch changes.
type entry[V any] struct {
	epoch    atomic.Uint64 // the last one at which the entry was found valid; first, to be near the value
	value    V
	staleFor time.Duration // of a value that stands in for a load: how stale it is at the end of its TTL
	notFound bool
	unsure   bool        // in its Window the value is fresh, and not trusted: see StaleIfRemoteDown
	replaced atomic.Bool // a load in the background is to replace the stale value
	early    *early      // nil without EarlyRevalidation
	tags     []string
}

// New returns a Cache. It returns every problem of its options, joined, each with the name of
// the field, or ErrFollowed. It sends no command to the remote tier.
func New[K comparable, V any](o Options[K, V]) (*Cache[K, V], error) {
	givenKey := o.Key != nil
	o, hooks, err := o.complete()
	if err != nil {
		return nil, err
	}
	// Each copy has its own bound in time, with jitter.
	bounds := o.Local
	bounds.TTL = 0
	store, err := local.New[K, *entry[V]](bounds)
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
		hooks:     hooks,
		prefix:    keyPrefix(o.Name, o.Schema),
		tagPrefix: o.Name + "::",
		local:     store,
		limit:     loader.NewLimit(o.MaxLoads),
		unfollow:  func() {},
		closed:    make(chan struct{}),
		parseKey:  parse,
	}
	if o.Remote != nil {
		c.journal.Deliver, c.journal.Everything, c.journal.MaxAge = c.deliverQueued, c.tagPrefix, c.longestLife()
		c.recorder.Tier, c.recorder.Invalidations = o.Remote, &c.invalidations
		c.recorder.Cache, c.recorder.Prefix = o.Name, c.tagPrefix
		c.recorder.Again, c.recorder.Keep = c.longestLife()/2, c.keepTags()
		if c.unfollow, err = o.Remote.Follow(o.Name, follower[K, V]{c}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close waits for the loads and the background work that are under way, and empties the local
// tier. Calls that start after Close has begun return ErrClosed, and calls that are under way
// are served to their end. A load that heeds its context ends within Options.LoadTimeout. Caches
// may be closed at the same time. Close leaves the Remote open. Once Close has returned, another
// Cache may use the name on that Remote.
//
// If the remote tier has not confirmed every invalidation, Close attempts the others once
// more, for a few budgets of the Remote at most. Those that are left it hands to
// Options.DeadLetters. Without DeadLetters, or if DeadLetters panics, it returns them as a
// [*Undelivered]. Otherwise Close returns nil. A second Close does nothing, and returns the same.
func (c *Cache[K, V]) Close() error {
	if c.gate.close() {
		defer close(c.closed) // also if a hook panics
		c.closeErr = c.close()
		return c.closeErr
	}
	<-c.closed
	return c.closeErr
}

// close ends what is under way, once the gate is closed.
func (c *Cache[K, V]) close() error {
	// A local hit does not ask the gate. It misses, because every local entry is invalid:
	//
	//  1. A load takes a snapshot, so its entry is valid as of now.
	//  2. The gate closes. Every entry from before becomes invalid.
	//  3. The load publishes its entry. Close waits for another load.
	//  4. The caller's own invalidation is refused with ErrClosed, or another instance's
	//     arrives too late. A Get finds the entry of step 3.
	//
	// The entry is invalid, because its snapshot is older than step 2. A load that takes its
	// snapshot after step 2 finds the gate closed at step 3, and publishes nothing. If the
	// entries became invalid before the gate closed, a load could take its snapshot between
	// the two, and publish a valid entry.
	c.invalidations.DropEntries()
	c.local.Clear()
	c.gate.wait()
	c.reads.Wait()
	c.loads.Wait()
	c.local.Clear() // of the entries of step 3
	c.unfollow()
	if c.opts.Remote == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), times(c.opts.Remote.Budget(), closeBudgets))
	defer cancel()
	if u := c.abandon(context.Background(), c.journal.Close(ctx)); u != nil {
		return u
	}
	return nil
}

// closeBudgets is for how many budgets of the Remote Close attempts invalidations.
const closeBudgets = 4

// keyPrefix returns the part of remote keys that is before the key's own.
func keyPrefix(cache string, schema int) string { return cache + ":" + strconv.Itoa(schema) + ":" }

func (c *Cache[K, V]) remoteKey(key K) string { return c.prefix + c.opts.Key(key) }
