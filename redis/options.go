package redis

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// What a zero in Options stands for.
const (
	// DefaultPrefix begins every key.
	DefaultPrefix = "nearside"

	// DefaultTimeout is the budget of a command.
	DefaultTimeout = 50 * time.Millisecond

	// DefaultLeaseTTL is how long a lease outlives its holder.
	DefaultLeaseTTL = 3 * time.Second

	// DefaultMaxFailures in a row make the Store leave Redis alone.
	DefaultMaxFailures = 5

	// DefaultLogLength is how many entries the log keeps.
	DefaultLogLength = 10_000

	// DefaultLogBytes is how many bytes the log takes.
	DefaultLogBytes = 16 << 20

	// DefaultLogTimeout is how long a connection of the log may be silent.
	DefaultLogTimeout = 2 * time.Second

	// DefaultProbeInterval is the first wait before Redis is tried again.
	DefaultProbeInterval = 100 * time.Millisecond
)

// Options configure a Store. The zero value is ready for use.
type Options struct {
	// Prefix begins every key of the Store: letters, digits, dots, dashes and
	// underscores. Stores of one prefix on one Redis share their caches. ""
	// means DefaultPrefix.
	Prefix string

	// Timeout is the budget of a command, from the call to its return, waits
	// for a connection included, whatever the timeouts of the client. The GET
	// and the lease of a miss share one: it has to be longer than two round
	// trips, or nothing is ever filled. 0 means DefaultTimeout.
	Timeout time.Duration

	// LeaseTTL is how long a lease stands after its holder last renewed it,
	// which it does three times as often: when an instance dies in a load,
	// another takes over so much later. At least 3 ms; 0 means DefaultLeaseTTL.
	LeaseTTL time.Duration

	// MaxFailures is how many commands have to fail in a row, by timeout or by
	// an error that says that Redis cannot serve, for the breaker to open.
	// Commands that read and commands that write are counted apart. When the
	// server's address refuses a connection of the log's reader, that is enough.
	// 0 means DefaultMaxFailures.
	MaxFailures int

	// ProbeInterval is how long the breaker waits after it opened before it
	// sends its first probe. The wait doubles, with jitter, up to 10 times its
	// length, and ends when the log can be read again. 0 means DefaultProbeInterval.
	ProbeInterval time.Duration

	// LogLength is how many entries the log of invalidations keeps, about. A Store
	// that is cut off for longer than they last drops the local tiers of its
	// caches. 0 means DefaultLogLength.
	LogLength int

	// LogBytes is how many bytes the log takes, about, if its entries are of one size: a
	// long entry makes it keep fewer than LogLength. Behind long entries shorter ones
	// may make it take up to 1 + ln(LogLength) times as much, and a single entry, of a
	// key that is larger, is kept. With several LogPartitions it is the size of each. 0
	// means DefaultLogBytes.
	LogBytes int

	// LogPartitions is how many logs there are, which may live on as many nodes of
	// a Cluster. Each has the invalidations of some caches. All Stores of one
	// prefix must have the same number. 0 means one.
	LogPartitions int

	// LogTimeout is how long the connection that the log is read on may be silent
	// before it counts as dead. Redis is asked to speak four times as often. At least
	// four milliseconds; 0 means DefaultLogTimeout. A cache whose Local.TTL is less than
	// a quarter of it asks about the log with its reads, in the same round trip, while
	// the log is silent.
	LogTimeout time.Duration

	// Trace has the functions to call when something happens; nil means none.
	Trace *Trace

	// Logger receives what an operator should see; nil discards it. An outage is a
	// warning when something stops to work, and a line at level Info when everything
	// has worked again for a second; outages between which there is less are one.
	Logger *slog.Logger
}

// Trace has functions that a Store calls when something happens. Any of them may
// be nil. They are called outside all locks, and must be fast and safe for
// concurrent use.
type Trace struct {
	// Breaker: the breaker opened, so that no command is sent any more, or
	// closed again.
	Breaker func(context.Context, BreakerInfo)

	// Log: the log is being read, or cannot be.
	Log func(context.Context, LogInfo)

	// LogRead: entries were read, and the caches told of them.
	LogRead func(context.Context, LogReadInfo)
}

// LogReadInfo tells of entries that were read at once.
type LogReadInfo struct {
	Entries int
	Depth   int64         // entries in the log
	Lag     time.Duration // since this Store appended one of them; 0 if it has appended none
}

// LogInfo tells of the reading of the log.
type LogInfo struct {
	Following bool  // it is being read, from here on
	Gap       bool  // and entries may have been missed before, so that local tiers are dropped
	Err       error // why it cannot be read
}

// BreakerInfo tells of a change of the breaker.
type BreakerInfo struct {
	Open   bool
	Writes bool  // it is the breaker of commands that write; reads go on
	Err    error // the failure that opened it
}

// complete returns the options with every default filled in, or every problem
// with them, joined, each naming its field.
func (o Options) complete() (Options, error) {
	var problems []error
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if !cache.ValidName(o.Prefix) {
		problems = append(problems, errors.New("redis: Prefix has a character other than a letter, a digit, a dot, a dash or an underscore"))
	}
	duration := func(name string, field *time.Duration, value time.Duration) {
		if *field < 0 {
			problems = append(problems, errors.New("redis: "+name+" is negative"))
		}
		if *field == 0 {
			*field = value
		}
	}
	duration("Timeout", &o.Timeout, DefaultTimeout)
	duration("LeaseTTL", &o.LeaseTTL, DefaultLeaseTTL)
	duration("ProbeInterval", &o.ProbeInterval, DefaultProbeInterval)
	if o.LeaseTTL > 0 && o.LeaseTTL < 3*time.Millisecond {
		problems = append(problems, errors.New("redis: LeaseTTL is less than 3 ms"))
	}
	duration("LogTimeout", &o.LogTimeout, DefaultLogTimeout)
	if o.LogTimeout > 0 && o.LogTimeout < 4*time.Millisecond {
		problems = append(problems, errors.New("redis: LogTimeout is less than 4 ms"))
	}
	count := func(name string, field *int, value int) {
		if *field < 0 {
			problems = append(problems, errors.New("redis: "+name+" is negative"))
		}
		if *field == 0 {
			*field = value
		}
	}
	count("MaxFailures", &o.MaxFailures, DefaultMaxFailures)
	count("LogLength", &o.LogLength, DefaultLogLength)
	count("LogBytes", &o.LogBytes, DefaultLogBytes)
	count("LogPartitions", &o.LogPartitions, 1)
	if o.Trace == nil {
		o.Trace = &Trace{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(problems...)
}
