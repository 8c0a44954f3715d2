package redis

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/hook"
)

// The defaults: values that a zero in Options stands for.
const (
	// DefaultPrefix begins every key.
	DefaultPrefix = "nearside"

	// DefaultTimeout is the budget of a command.
	DefaultTimeout = 50 * time.Millisecond

	// DefaultLeaseTTL is how long a lease outlives its holder.
	DefaultLeaseTTL = 3 * time.Second

	// DefaultMaxFailures is how many failures in a row open the breaker.
	DefaultMaxFailures = 5

	// DefaultFailureRatio is the ratio of failures above which the breaker opens.
	DefaultFailureRatio = 0.2

	// DefaultLogLength is about how many entries the log keeps.
	DefaultLogLength = 10_000

	// DefaultLogBytes is about how many bytes the log takes.
	DefaultLogBytes = 16 << 20

	// DefaultLogTimeout is how long the connection of the log's reader may receive nothing.
	DefaultLogTimeout = 2 * time.Second

	// DefaultProbeInterval is the wait between the opening of the breaker and the first
	// probe.
	DefaultProbeInterval = 100 * time.Millisecond
)

// Options configure a Store. The zero value is ready for use.
type Options struct {
	// Prefix begins every key of the Store. It has letters, digits, dots, dashes and
	// underscores only. Stores of one prefix on one Redis share their caches. "" means
	// DefaultPrefix.
	Prefix string

	// Timeout is the budget of a command: the longest time from the call to its return,
	// including waits for a connection, whatever the timeouts of the client. The commands of
	// one read share one budget, so Timeout should be longer than two round trips. With less,
	// a miss fills Redis only where its read has asked for the lease as well: after a few slow
	// reads, on a single server, with a local tier, of keys without a record. Values whose tags
	// have to be looked up are loaded. 0 means DefaultTimeout.
	Timeout time.Duration

	// LeaseTTL is how long a lease stands after its last renewal. The holder renews the
	// lease three times in each LeaseTTL. When an instance dies during a load, another
	// instance that waits takes over after two thirds of LeaseTTL, or else the lease ends after
	// LeaseTTL. At least 3 ms; 0 means DefaultLeaseTTL.
	LeaseTTL time.Duration

	// MaxFailures is how many commands must fail in a row for the breaker to open. A
	// failure is a timeout, or an error which shows that Redis cannot serve. Commands that
	// read and commands that write are counted separately. When the server's address
	// refuses a connection of the log's reader, the breaker opens at once. 0 means
	// DefaultMaxFailures.
	MaxFailures int

	// FailureRatio is the ratio of failures above which the breaker opens, although fewer
	// than MaxFailures are in a row: a Redis that answers only some commands in time is not
	// waited for again and again. The ratio is that of the last 256 commands since the
	// breaker was closed, once there are 100, and is at most 1, which no ratio exceeds. The
	// breaker closes when ten probes in a row are answered. 0 means DefaultFailureRatio.
	FailureRatio float64

	// ProbeInterval is the wait between the opening of the breaker and the first probe. The
	// wait doubles after each probe, with jitter: in the first minute up to 200 ms, or
	// ProbeInterval if that is longer, and later up to 10 times ProbeInterval. A wait ends
	// early when the log can be read again. 0 means DefaultProbeInterval.
	ProbeInterval time.Duration

	// LogLength is about how many entries the log of invalidations keeps. A Store that is
	// cut off for longer than the entries last drops the local tiers of its caches. 0 means
	// DefaultLogLength.
	LogLength int

	// LogBytes is about how many bytes the log takes, if its entries are of one size: with
	// long entries the log keeps fewer than LogLength. Where shorter entries follow long
	// ones, the log may take up to 1 + ln(LogLength) times as much. A single entry is kept
	// even if its key is larger than LogBytes. With several LogPartitions, LogBytes is the
	// size of each. 0 means DefaultLogBytes.
	LogBytes int

	// LogPartitions is the number of logs, which may live on as many nodes of a Cluster.
	// Each log has the invalidations of some caches. All Stores of one prefix must have the
	// same number. 0 means one.
	LogPartitions int

	// LogTimeout is how long the connection of the log's reader may receive nothing before
	// the connection counts as dead. The reader asks Redis for a reply four times in each
	// LogTimeout. At least four milliseconds; 0 means DefaultLogTimeout. A cache whose
	// Local.TTL is less than a quarter of LogTimeout asks about the log with its reads, in
	// the same round trip, while the log has no new entries.
	LogTimeout time.Duration

	// SeparateTrips gives each read and each fill a round trip of its own. Otherwise, on a single
	// server, those that find four round trips under way share the next ones, up to 64 in each.
	// Calls for many keys are in one round trip in any case.
	SeparateTrips bool

	// Trace has the functions that the Store calls on events; nil means none.
	Trace *Trace

	// Logger receives the lines for an operator; nil discards them. An outage has two
	// lines: a warning when a component stops working, and a line at level Info when
	// everything has worked again for a second. Outages less than a second apart are one
	// outage. Entries of the log that were missed, or that Redis has lost, are reported in the
	// second line, or in a line of their own. Besides, each kind of [Finding] has a line, once:
	// at level Info if records may be evicted, and a warning otherwise. That the server is a
	// replica is said by the lines of the outage.
	Logger *slog.Logger
}

// Trace has functions that a Store calls on events. Each may be nil. The Store calls the
// functions outside all locks. They must be fast and safe for concurrent use. A panic of such a
// function is contained, and the first one is logged.
type Trace struct {
	// Breaker: the breaker opened, so that no command is sent, or closed again.
	Breaker func(context.Context, BreakerInfo)

	// Log: the log is being read, or cannot be read.
	Log func(context.Context, LogInfo)

	// LogRead: entries were read, and delivered to the caches.
	LogRead func(context.Context, LogReadInfo)
}

// LogReadInfo describes the entries of one read of the log.
type LogReadInfo struct {
	Entries int
	Depth   int64         // entries in the log
	Lag     time.Duration // since this Store appended an entry of the read; 0 if none
}

// LogInfo describes a change in the reading of the log.
type LogInfo struct {
	Following bool  // the log is being read from now on
	Gap       bool  // entries may have been missed before, and local tiers are dropped
	Err       error // why the log cannot be read
}

// BreakerInfo describes a change of a breaker.
type BreakerInfo struct {
	Open   bool
	Writes bool   // the breaker is the one of commands that write; reads go on
	Node   string // the address of the breaker's node of a Cluster; "" means the whole server or Cluster
	Err    error  // the failure that opened the breaker
}

// complete returns the options with every default filled in. Its error joins all problems,
// and each problem names its field.
func (o Options) complete() (Options, error) {
	var problems []error
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if !remote.ValidName(o.Prefix) {
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
	if !(o.FailureRatio >= 0 && o.FailureRatio <= 1) {
		problems = append(problems, errors.New("redis: FailureRatio is not between 0 and 1"))
	}
	o.FailureRatio = cmp.Or(o.FailureRatio, DefaultFailureRatio)
	count("LogLength", &o.LogLength, DefaultLogLength)
	count("LogBytes", &o.LogBytes, DefaultLogBytes)
	count("LogPartitions", &o.LogPartitions, 1)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = &Trace{}
	}
	hooks := &hook.Guard{Logger: o.Logger, Owner: slog.String("prefix", o.Prefix)}
	o.Trace = &Trace{
		Breaker: hook.Contain(hooks, o.Trace.Breaker), Log: hook.Contain(hooks, o.Trace.Log), LogRead: hook.Contain(hooks, o.Trace.LogRead),
	}
	return o, errors.Join(problems...)
}
