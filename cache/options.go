package cache

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/nearside-go/nearside/local"
)

// What a zero in Options stands for.
const (
	// DefaultMaxAgeFactor times TTL is the MaxAge of a cache that sets none.
	DefaultMaxAgeFactor = 10

	// DefaultLoadTimeout bounds a load.
	DefaultLoadTimeout = 10 * time.Second

	// DefaultMutateTimeout bounds the write of a Mutate.
	DefaultMutateTimeout = 10 * time.Second

	// DefaultMaxLoads is how many loads one cache runs side by side.
	DefaultMaxLoads = 100

	// DefaultJitter is the fraction by which TTLs vary.
	DefaultJitter = 0.1

	// DefaultLocalTTL, or half the TTL where that is less, is how long a local
	// copy of a remote value is trusted.
	DefaultLocalTTL = time.Minute

	// DefaultMaxPayload is how many bytes of a value are sent to the remote tier.
	DefaultMaxPayload = 1 << 20
)

// Options configure a Cache. Name and TTL are required. Elsewhere zero means: a
// limit has its default, a window is off, a collaborator is what its field says.
type Options[K comparable, V any] struct {
	// Name names the cache in remote keys, logs and errors: letters, digits,
	// dots, dashes and underscores. Caches of one name share their entries. A
	// Remote serves one of a name at a time: New returns ErrFollowed for a second
	// one, until the first is closed.
	Name string

	// TTL is how long a value is kept since it was last read, on any instance;
	// since it was filled, with FixedTTL.
	TTL time.Duration

	// MaxAge ends a value, counted from the start of its load, however often it
	// is read. At least TTL; 0 means DefaultMaxAgeFactor times TTL.
	MaxAge time.Duration

	// FixedTTL makes reads leave the TTL as it is.
	FixedTTL bool

	// NotFoundTTL is how long a loader's ErrNotFound is remembered, since the
	// fill; reads do not renew it. 0 means that it is not.
	NotFoundTTL time.Duration

	// Jitter shortens each TTL by a random fraction of at most this much, so
	// that what was filled together does not expire together: lifetimes lie in
	// [TTL x (1 - Jitter), TTL]. Below 1; 0 means DefaultJitter.
	Jitter float64

	// LoadTimeout ends the context of a load, counted from its start. A loader
	// that heeds its context is over then; one that does not keeps its callers
	// waiting, as long as their own contexts let them. 0 means
	// DefaultLoadTimeout.
	LoadTimeout time.Duration

	// WaitTimeout is how long a call waits for the load of another instance
	// before it loads for itself. 0 means LoadTimeout.
	WaitTimeout time.Duration

	// MutateTimeout ends the context of the write of a Mutate, counted from the
	// call. When the process dies meanwhile, the tombstones of its keys stand for
	// so long, and a budget. 0 means DefaultMutateTimeout.
	MutateTimeout time.Duration

	// HoldOff is for a source that is read from replicas: for so long after each
	// Invalidate and Mutate a load of the key may still read what was there
	// before, and is returned and not stored. Make it longer than the replicas
	// lag. It costs a load for each read meanwhile. An instance that starts stores
	// nothing that it loads for so long, because tags, or the whole cache, may have
	// been invalidated just before. 0 means off.
	HoldOff time.Duration

	// MaxLoads is how many loads this Cache runs side by side; callers beyond
	// wait their turn, or until their contexts end. A load that uses the cache
	// itself, with its own context, needs no second place, unless what it asks
	// for is waiting for one on behalf of somebody else: leave room for that.
	// 0 means DefaultMaxLoads.
	MaxLoads int

	// Schema is part of the remote key. Change it whenever V changes shape, and
	// a rolling deploy never decodes the bytes of the other version. 0 is a
	// schema like any other.
	Schema int

	// MaxPayload is how many bytes the payload of a value, as Codec encodes it, may have
	// in the remote tier: a large one would hold up the commands of all other keys. A
	// value with more is returned and kept in the local tier alone, and with RemoteOnly
	// nowhere. 0 means DefaultMaxPayload.
	MaxPayload int

	// RemoteOnly makes a cache without a local tier: each read asks the remote tier, in
	// one round trip, and sees what any instance had invalidated when it began. Local
	// must be zero. While the remote tier does not answer, each read loads.
	RemoteOnly bool

	// Local bounds the local tier. Local.TTL is how long a local copy is
	// trusted since it was read from the remote tier or loaded, which bounds
	// what an instance can miss of the others' writes while it cannot read the
	// log; 0 means DefaultLocalTTL or half the TTL, whichever is less, and no
	// bound without a Remote.
	Local local.Options

	// Remote is the tier that instances share, such as a redis.Store. The
	// caller closes it, after the Cache. nil means that there is a local tier
	// only.
	Remote Remote

	// Key turns a key into the last part of its remote key, one to one. Any
	// bytes and any length will do. nil is for a K that is a string or an
	// integer, or a type made of one; any other K needs it. A key that does not equal
	// itself, such as a NaN or a struct that holds one, is loaded for each call and kept
	// in no tier.
	Key func(K) string

	// TTLOf gives a value a TTL of its own; nil means TTL for all. MaxAge
	// bounds it. A value whose TTL is not positive is returned and not stored.
	TTLOf func(K, V) time.Duration

	// Tags returns what a value can be invalidated by, besides its key, with
	// InvalidateTags. It may depend on the value. At most MaxTags, each of 1 to
	// MaxTagLength bytes; a value with others is returned and not stored, which
	// Stats.TagErrors counts and the Logger reports once: give it fewer, or one tag
	// for a whole list. nil means no tags.
	Tags func(K, V) []string

	// Cost is what a value counts towards Local.MaxCost; nil means 1.
	Cost func(K, V) int64

	// Codec encodes values for the remote tier; nil means JSON.
	Codec Codec[V]

	// Trace has the functions to call when something happens; nil means none.
	Trace *Trace

	// Logger receives what an operator should see; nil discards it. Keys and
	// values are not logged.
	Logger *slog.Logger
}

// complete returns the options with every default filled in, or every problem
// with them, joined, each naming its field.
func (o Options[K, V]) complete() (Options[K, V], error) {
	if err := o.validate(); err != nil {
		return o, err
	}
	setDefault(&o.MaxAge, times(o.TTL, DefaultMaxAgeFactor))
	setDefault(&o.LoadTimeout, DefaultLoadTimeout)
	setDefault(&o.WaitTimeout, o.LoadTimeout)
	setDefault(&o.MutateTimeout, DefaultMutateTimeout)
	setDefault(&o.MaxLoads, DefaultMaxLoads)
	setDefault(&o.Jitter, DefaultJitter)
	setDefault(&o.MaxPayload, DefaultMaxPayload)
	if o.Remote != nil && !o.RemoteOnly {
		setDefault(&o.Local.TTL, max(min(o.TTL/2, DefaultLocalTTL), 1))
	}
	if o.Key == nil {
		o.Key, _ = builtinKey[K]()
	}
	if o.Codec == nil {
		o.Codec = JSON[V]{}
	}
	if o.Trace == nil {
		o.Trace = &Trace{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options[K, V]) validate() error {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("cache: "+format, args...))
	}
	if o.Name == "" {
		problem("Name is required")
	} else if !ValidName(o.Name) {
		problem("Name has a character other than a letter, a digit, a dot, a dash or an underscore")
	}
	if o.TTL == 0 {
		problem("TTL is required")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"TTL", o.TTL}, {"MaxAge", o.MaxAge}, {"NotFoundTTL", o.NotFoundTTL},
		{"LoadTimeout", o.LoadTimeout}, {"WaitTimeout", o.WaitTimeout}, {"MutateTimeout", o.MutateTimeout},
		{"HoldOff", o.HoldOff}, {"Local.TTL", o.Local.TTL},
	} {
		if d.value < 0 {
			problem("%s is negative", d.name)
		}
	}
	if o.MaxAge > 0 && o.MaxAge < o.TTL {
		problem("MaxAge is less than TTL")
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"MaxLoads", int64(o.MaxLoads)}, {"MaxPayload", int64(o.MaxPayload)}, {"Schema", int64(o.Schema)},
		{"Local.MaxEntries", int64(o.Local.MaxEntries)}, {"Local.MaxCost", o.Local.MaxCost},
	} {
		if n.value < 0 {
			problem("%s is negative", n.name)
		}
	}
	if o.RemoteOnly && o.Remote == nil {
		problem("RemoteOnly needs a Remote")
	}
	if o.RemoteOnly && o.Local != (local.Options{}) {
		problem("Local is set, although RemoteOnly makes a cache without a local tier")
	}
	if !(o.Jitter >= 0 && o.Jitter < 1) {
		problem("Jitter is not in [0, 1)")
	}
	if v := reflect.ValueOf(o.Remote); v.Kind() == reflect.Pointer && v.IsNil() {
		problem("Remote is a nil %T; leave it out for a cache without one", o.Remote)
	}
	if format, _ := builtinKey[K](); o.Key == nil && format == nil {
		problem("Key is required, because K is neither a string nor an integer")
	}
	return errors.Join(problems...)
}
