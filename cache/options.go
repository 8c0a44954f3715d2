package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/hook"
	"github.com/nearside-go/nearside/local"
)

// The defaults of zero Options.
const (
	// DefaultMaxAgeFactor times TTL is the MaxAge of a cache that sets none.
	DefaultMaxAgeFactor = 10

	// DefaultLoadTimeout bounds a load.
	DefaultLoadTimeout = 10 * time.Second

	// DefaultMutateTimeout bounds the write of a Mutate.
	DefaultMutateTimeout = 10 * time.Second

	// DefaultMaxLoads is how many loads one cache runs at the same time.
	DefaultMaxLoads = 100

	// DefaultJitter is the fraction by which TTLs vary.
	DefaultJitter = 0.1

	// DefaultLocalTTL, or half the TTL if that is less, is how long a local
	// copy of a remote value is trusted.
	DefaultLocalTTL = time.Minute

	// DefaultStalePause is the time between two loads of a key whose loads fail, or take
	// long, while a stale value answers in their place.
	DefaultStalePause = time.Second

	// DefaultMaxPayload is how many bytes of a value are sent to the remote tier.
	DefaultMaxPayload = 1 << 20
)

// Remote is the tier that all instances share, such as a redis.Store.
type Remote = remote.Tier

// Options configure a Cache. Name and TTL are required. A limit of zero has its default, a
// window of zero is off, and each collaborator documents its nil.
type Options[K comparable, V any] struct {
	// Name names the cache in remote keys, logs and errors: letters, digits,
	// dots, dashes and underscores. Caches of one name share their entries. A
	// Remote serves one Cache of a name at a time: New returns ErrFollowed for a
	// second Cache, until the first is closed.
	Name string

	// TTL is how long a value is kept after its last read on any instance, or
	// after its fill, with FixedTTL.
	TTL time.Duration

	// MaxAge ends a value, counted from the start of its load, however often the
	// value is read. At least TTL; 0 means DefaultMaxAgeFactor times TTL.
	MaxAge time.Duration

	// FixedTTL keeps reads from renewing the TTL.
	FixedTTL bool

	// StaleWhileRevalidate is for how long after the end of its TTL, or of MaxAge, a value is
	// still returned by GetOrLoad at once, while one instance loads the key in the
	// background. 0 means off.
	//
	// For this window and StaleIfError: no read in a window renews the value, and Get does not
	// return it. What a loader does not find is not found. A value that this instance knows to
	// be invalidated is not returned; as for every value, Local.TTL bounds what an instance
	// may not know. With FixedTTL the windows follow the fixed TTL. All instances should have
	// the same windows.
	StaleWhileRevalidate time.Duration

	// StaleIfError is for how long after the end of its TTL, or of MaxAge, a value is
	// returned in place of an error of its load. The error is counted and traced. While an
	// instance loads the key, other instances that have the value return it. ErrNotFound is
	// not such an error. 0 means off.
	StaleIfError time.Duration

	// StalePause is for how long an instance does not load a key again after a load that has
	// failed, or taken longer than LoadSoftTimeout, and returns the value it has. The local
	// tier keeps the value for the pause, so the pause ends early where a copy is not trusted
	// for as long (see Local.TTL), and with RemoteOnly there is none. 0 means
	// DefaultStalePause.
	StalePause time.Duration

	// LoadSoftTimeout is how long a call waits for a load if StaleIfError allows to return
	// the value that the load replaces, its wait for a place (see MaxLoads) included. The load
	// goes on, and its value is stored. Less than LoadTimeout; 0 means off.
	LoadSoftTimeout time.Duration

	// StaleIfRemoteDown is for how long after Local.TTL a local copy is still returned by
	// GetOrLoad while the remote tier does not answer, in place of a load, so that an outage of
	// the remote tier costs the source less. The copy's own TTL has not ended, but another
	// instance may have invalidated it. So Local.TTL and StaleIfRemoteDown together bound for
	// how long an instance that cannot read the log serves such a value. What this instance
	// invalidates, or was told of, is not returned. Needs a Remote and a local tier; 0 means off.
	StaleIfRemoteDown time.Duration

	// EarlyRevalidation makes reads of GetOrLoad load a value again in the background shortly
	// before its TTL or its MaxAge ends: so no caller waits for the load, and callers of a
	// popular key do not all miss at once. A read does so with a probability that grows towards
	// the end, and with the time that the last load of the value took; one instance of the
	// fleet loads. EarlyRevalidation is the factor beta of XFetch (Vattani et al., VLDB 2015):
	// 1 is as published, more is earlier. A read that renews the TTL has put its end off, so
	// without FixedTTL it is mostly MaxAge that counts. 0 means off.
	EarlyRevalidation float64

	// NotFoundTTL is how long a loader's ErrNotFound is remembered, counted from
	// the fill. Reads do not renew it. 0 means that ErrNotFound is not remembered.
	NotFoundTTL time.Duration

	// Jitter shortens each TTL by a random fraction, so that values that were
	// filled together do not expire together: lifetimes lie in
	// [TTL x (1 - Jitter), TTL]. Below 1; 0 means DefaultJitter.
	Jitter float64

	// LoadTimeout ends the context of a load, counted from the start of the load.
	// A loader that ignores its context keeps its callers waiting until their own
	// contexts end. 0 means DefaultLoadTimeout.
	LoadTimeout time.Duration

	// WaitTimeout is how long a call waits for the load of another instance before the call
	// loads by itself. A call whose context has a deadline stops earlier, while it has time
	// for a load: twice the average load of this Cache, and half of its time at most. 0 means
	// LoadTimeout.
	WaitTimeout time.Duration

	// MutateTimeout ends the context of the write of a Mutate, counted from the
	// call. If the process dies during the Mutate, the tombstones of the keys stand
	// until MutateTimeout and a budget have passed. 0 means DefaultMutateTimeout.
	MutateTimeout time.Duration

	// HoldOff is for a source that is read from replicas. In this time after each
	// Invalidate and Mutate a load of the key may still read the old value, so its
	// value is returned and not stored, and each read costs a load. Make HoldOff
	// longer than the replicas lag. An instance stores no loaded value in this time
	// after its start, because tags, or the whole cache, may have been invalidated
	// just before. 0 means off.
	HoldOff time.Duration

	// MaxLoads is how many loads this Cache runs at the same time. Further callers
	// wait their turn, or until their contexts end. A load that uses the cache with
	// its own context needs no second place. But if the key that it asks for is
	// being loaded for another caller, that load needs a place: leave room for it.
	// 0 means DefaultMaxLoads.
	MaxLoads int

	// Schema is part of the remote key. Change Schema whenever V changes shape: in
	// a rolling deploy no version decodes the bytes of the other version. Invalidate, Set and
	// Mutate concern the records of their own schema only: while two versions run, invalidate
	// by tags, which are the same in all schemas. 0 is a schema like any other.
	Schema int

	// MaxPayload is how many bytes an encoded value may have in the remote tier, where a
	// large value would hold up the commands of all other keys. A larger value is
	// returned and kept in the local tier only, and with RemoteOnly nowhere. 0 means
	// DefaultMaxPayload.
	MaxPayload int

	// RemoteOnly makes a cache without a local tier. Each read asks the remote tier, in
	// one round trip, and returns no value that any instance had invalidated when the
	// read began. Local must be zero. While the remote tier does not answer, each read
	// loads.
	RemoteOnly bool

	// Local bounds the local tier. Local.TTL is how long a local copy is trusted,
	// counted from the last time at which the copy was known to be valid. So
	// Local.TTL bounds for how long an instance that cannot read the log serves a
	// value that another instance has invalidated. 0 means DefaultLocalTTL or half
	// the TTL, whichever is less, and no bound without a Remote. Local.Policy chooses
	// the copies that are evicted.
	Local local.Options

	// Remote is the tier that instances share, such as a redis.Store. The caller
	// closes the Remote, after the Cache. nil means a local tier only.
	Remote Remote

	// Key turns a key into the last part of its remote key. Different keys need
	// different parts, of any bytes and any length. nil is for a K whose kind is a
	// string, which is used as it is, or an integer, which is written in decimal; any other K
	// needs a Key function. A key that does not
	// equal itself, such as a NaN or a struct with a NaN, is loaded for each call and
	// kept in no tier.
	Key func(K) string

	// TTLOf returns the TTL of a value; nil means TTL for all values. MaxAge bounds
	// the result. A value whose TTL is not positive is returned and not stored.
	TTLOf func(K, V) time.Duration

	// Tags returns the tags of a value, by which InvalidateTags invalidates the
	// value: at most MaxTags, each of 1 to MaxTagLength bytes. A value with tags over
	// a limit is returned and not stored; Stats.TagErrors counts such values, and the
	// Logger receives one line. Give such a value fewer tags, or one tag for a whole
	// list. Tags without spaces and commas can be used at an edge cache, too, in a
	// header such as Surrogate-Key. nil means no tags.
	Tags func(K, V) []string

	// Cost returns the cost of a value towards Local.MaxCost; nil means 1.
	Cost func(K, V) int64

	// Codec encodes values for the remote tier; nil means JSON. Module
	// github.com/nearside-go/nearside/codec has codecs for CBOR and protocol buffers, and
	// one that compresses the payloads of another codec.
	Codec Codec[V]

	// DeadLetters receives the invalidations that the Cache does not attempt any more: those
	// that Close could not deliver, and those that were too many to be kept. In place of the
	// latter the whole cache is invalidated. Redeliver makes them, on any instance. DeadLetters
	// is called on the goroutine of the call that gave them up, so Close waits for it. What
	// DeadLetters has taken Close does not return: DeadLetters itself reports its failures. A
	// panic of it is contained. nil means that only Close returns them.
	DeadLetters func(context.Context, Undelivered)

	// Trace has the functions that the Cache calls at its events; nil means none.
	Trace *Trace

	// Logger receives the lines for an operator; nil discards them. Keys and values
	// are not logged.
	Logger *slog.Logger
}

// complete returns the options with every default filled in, and the guard of their
// functions, or every problem with them, joined, each naming its field.
func (o Options[K, V]) complete() (Options[K, V], *hook.Guard, error) {
	if err := o.validate(); err != nil {
		return o, nil, err
	}
	setDefault(&o.MaxAge, times(o.TTL, DefaultMaxAgeFactor))
	setDefault(&o.LoadTimeout, DefaultLoadTimeout)
	setDefault(&o.WaitTimeout, o.LoadTimeout)
	setDefault(&o.MutateTimeout, DefaultMutateTimeout)
	setDefault(&o.MaxLoads, DefaultMaxLoads)
	setDefault(&o.StalePause, DefaultStalePause)
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = &Trace{}
	}
	hooks := &hook.Guard{Logger: o.Logger, Owner: slog.String("cache", o.Name)}
	o.Trace = o.Trace.contained(hooks)
	return o, hooks, nil
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
	} else if !remote.ValidName(o.Name) {
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
		{"StaleWhileRevalidate", o.StaleWhileRevalidate}, {"StaleIfError", o.StaleIfError},
		{"StalePause", o.StalePause}, {"LoadSoftTimeout", o.LoadSoftTimeout},
		{"StaleIfRemoteDown", o.StaleIfRemoteDown},
	} {
		if d.value < 0 {
			problem("%s is negative", d.name)
		}
	}
	if o.MaxAge > 0 && o.MaxAge < o.TTL {
		problem("MaxAge is less than TTL")
	}
	if o.LoadSoftTimeout > 0 && o.StaleIfError == 0 {
		problem("LoadSoftTimeout needs StaleIfError")
	}
	if o.LoadSoftTimeout > 0 && o.LoadSoftTimeout >= cmp.Or(o.LoadTimeout, DefaultLoadTimeout) {
		problem("LoadSoftTimeout is not less than LoadTimeout")
	}
	if o.StalePause > 0 && o.StaleIfError == 0 && o.StaleWhileRevalidate == 0 && o.EarlyRevalidation == 0 {
		problem("StalePause needs StaleIfError, StaleWhileRevalidate or EarlyRevalidation")
	}
	if !(o.EarlyRevalidation >= 0 && o.EarlyRevalidation <= math.MaxFloat64) {
		problem("EarlyRevalidation is not a number from 0 up")
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
	if p := o.Local.Policy; p != local.LRU && p != local.TwoQueue {
		problem("Local.Policy is unknown")
	}
	if o.RemoteOnly && o.Remote == nil {
		problem("RemoteOnly needs a Remote")
	}
	if o.StaleIfRemoteDown > 0 && (o.Remote == nil || o.RemoteOnly) {
		problem("StaleIfRemoteDown needs a Remote and a local tier")
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
