package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/local"
)

// The configuration of the fleet, and its bounds.
const (
	cacheName     = "sim"
	localTTL      = time.Second
	downFor       = time.Second // StaleIfRemoteDown, where it is set
	mutateTimeout = time.Second
	stall         = 600 * time.Millisecond // the longest, of a log
	delivery      = 20 * time.Millisecond  // of an entry, without a fault
	instances     = 3
	clients       = 4 // of an instance
	keys          = 12
	mutated       = 3 // the last keys, which only Mutate writes
	groups        = 3
)

// chance is a source of random numbers that goroutines share.
type chance struct {
	mu sync.Mutex // guards r
	r  *rand.Rand
}

func (c *chance) intN(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

func (c *chance) upTo(d time.Duration) time.Duration { return time.Duration(c.intN(int(d))) + 1 }

// world is a fleet, its source and its history.
type world struct {
	chance
	began   time.Time
	server  *cachetest.Server
	wrap    func(remote.Tier) remote.Tier
	options Options
	history history.Recorder

	source   sync.Mutex // guards versions
	versions [keys]int64

	fleet   []*instance
	started int
	faults  *history.Client
	calm    atomic.Bool // there are no faults any more
}

func newWorld(seed uint64, wrap func(remote.Tier) remote.Tier) *world {
	w := &world{chance: chance{r: rand.New(rand.NewPCG(seed, 0))}, began: time.Now(), server: cachetest.NewServer(), wrap: wrap}
	w.faults = w.history.Client()
	return w
}

func (w *world) now() int64 { return int64(time.Since(w.began)) }

// value is a cached value.
type value struct {
	Version int64
	Key     int
}

func keyName(i int) string { return fmt.Sprintf("k%d", i) }

func group(i int) string { return fmt.Sprintf("g%d", i%groups) }

// load reads the source, with a random delay before and after. It reports that the previous
// value is not modified where it knows that value.
func (w *world) load(ctx context.Context, key int) (value, error) {
	found, err := w.loadMany(ctx, []int{key})
	v := found[key]
	if old, ok := cache.Previous[value](ctx); err == nil && ok && old == v {
		return value{}, cache.ErrNotModified
	}
	return v, err
}

// loadMany reads the source for several keys at once.
func (w *world) loadMany(_ context.Context, keys []int) (map[int]value, error) {
	time.Sleep(w.upTo(3 * time.Millisecond))
	found := make(map[int]value)
	w.source.Lock()
	for _, key := range keys {
		found[key] = value{w.versions[key], key}
	}
	w.source.Unlock()
	slow := 3 * time.Millisecond
	if w.intN(10) == 0 {
		slow = 40 * time.Millisecond
	}
	time.Sleep(w.upTo(slow))
	if w.intN(50) == 0 {
		return found, errSource
	}
	return found, nil
}

// commit gives key its next version.
func (w *world) commit(log *history.Client, key int) int64 {
	start := w.now()
	time.Sleep(w.upTo(2 * time.Millisecond))
	w.source.Lock()
	w.versions[key]++
	v := w.versions[key]
	w.source.Unlock()
	time.Sleep(w.upTo(2 * time.Millisecond))
	log.Commit(history.Commit{Key: keyName(key), Version: v, Start: start, End: w.now()})
	return v
}

// instance is one instance of the fleet.
type instance struct {
	w      *world
	number int
	remote *cachetest.Remote
	cache  *cache.Cache[int, value]
	over   chan struct{} // closed to stop the clients
	wg     sync.WaitGroup

	mu    sync.Mutex // guards all below
	dead  bool       // no command of the instance arrives
	stall time.Duration
}

var errSource = errors.New("simulation: the source failed")

var errDead = errors.New("simulation: this instance is dead")

func (w *world) newInstance() (*instance, error) {
	w.started++
	i := &instance{w: w, number: w.started, remote: w.server.Remote(), over: make(chan struct{})}
	i.remote.Inject(i.fault)
	o := cache.Options[int, value]{
		Name: cacheName, TTL: 20 * time.Second, MaxAge: time.Minute, Remote: w.wrap(i.remote),
		LoadTimeout: 2 * time.Second, MutateTimeout: mutateTimeout,
		Local: local.Options{TTL: localTTL},
		Tags:  func(key int, v value) []string { return []string{group(key), fmt.Sprint("odd", v.Version%2)} },
	}
	if w.options.Down {
		o.StaleIfRemoteDown = downFor
	}
	if w.options.Redeliver && i.number%2 == 0 {
		o.Key = strconv.Itoa // not parsed, as a function of the options may write anything
	}
	if w.options.Windows {
		o.TTL, o.FixedTTL = 10*time.Millisecond, true
		o.StaleWhileRevalidate, o.StaleIfError, o.EarlyRevalidation = 20*time.Second, time.Minute, 1
		o.StalePause, o.LoadSoftTimeout = 10*time.Millisecond, 3*time.Millisecond
		o.RemoteOnly = i.number%instances == 0
		if o.RemoteOnly {
			o.Local = local.Options{}
		}
	}
	c, err := cache.New(o)
	i.cache = c
	return i, err
}

// fault makes most commands slow. Some commands fail, before or after they are carried out.
func (i *instance) fault(op string) cachetest.Fault {
	i.mu.Lock()
	dead, stall := i.dead, i.stall
	i.mu.Unlock()
	w := i.w
	switch {
	case op == "log":
		return cachetest.Fault{Delay: w.upTo(3*time.Millisecond) + stall}
	case dead:
		return cachetest.Fault{Err: errDead}
	case w.calm.Load():
		return cachetest.Fault{Delay: w.upTo(time.Millisecond)}
	}
	f := cachetest.Fault{Delay: w.upTo(2 * time.Millisecond), Hold: w.upTo(2 * time.Millisecond)}
	if op == "guard" {
		return f // without its tombstones a Mutate does not promise to survive its process
	}
	switch n := w.intN(200); {
	case n < 2:
		f.Err = errors.New("simulation: refused")
	case n < 4:
		f.Err, f.Applied = errors.New("simulation: the reply is lost"), true
	case n < 5:
		f.Hold = cachetest.DefaultBudget
	}
	return f
}

func (i *instance) set(dead bool, stall time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dead, i.stall = dead, stall
}

func (i *instance) isDead() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.dead
}

// stop ends the clients.
func (i *instance) stop() {
	close(i.over)
	i.wg.Wait()
}
