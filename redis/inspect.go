package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// inspection is what was found out about a server, or about every primary of a Cluster.
type inspection struct {
	server   string
	latency  time.Duration
	findings []Finding
}

// inspect finds out about Redis, keeps the findings, and logs those that are new. It uses no
// connection of the Store's client, and its outcome does not count for the breakers.
func (s *Store) inspect(caller context.Context) (i inspection, err error) {
	ctx, cancel := context.WithTimeout(caller, max(minInspectTimeout, 2*min(s.opts.Timeout, math.MaxInt64/2)))
	defer cancel()
	defer context.AfterFunc(s.background, cancel)()
	select {
	case s.inspecting <- struct{}{}:
		i, err = s.inspectNow(ctx)
		<-s.inspecting
	case <-ctx.Done():
		err = ctx.Err()
	}
	switch {
	case err == nil:
		i.note(s.distance(i.latency))
		s.findings.keep(i.findings)
	case s.background.Err() != nil:
		return inspection{}, errClosed
	case caller.Err() != nil:
		return inspection{}, caller.Err()
	default:
		i = inspection{findings: s.misfit(err)}
		if err = unquote(err); timedOut(err) {
			err = errSilent
		}
		s.noteRefusal(err)
	}
	for _, f := range i.findings {
		s.report(f)
	}
	return i, err
}

// inspectNow inspects the server, or the Cluster, that the Store's client is for.
func (s *Store) inspectNow(ctx context.Context) (inspection, error) {
	if c, ok := s.client.(*goredis.ClusterClient); ok {
		return s.inspectCluster(ctx, c)
	}
	return s.inspectServer(ctx, s.client.(*goredis.Client).Options())
}

var (
	errClosed = errors.New("redis: the Store is closed")
	errSilent = errors.New("redis: no answer in time")
)

// garbled are the beginnings of the errors of go-redis about replies that it does not
// understand.
var garbled = []string{"redis: can't parse", "redis: invalid reply", "redis: unexpected"}

// misfit returns the finding that the server is no Redis, or that only one side uses TLS;
// none if err shows neither.
func (s *Store) misfit(err error) []Finding {
	found := func(text string) []Finding { return []Finding{{FindingProtocol, text}} }
	var noTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &noTLS), s.secured() && timedOut(err):
		return found("the client uses TLS and gets no reply in TLS: the server may expect none")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return found("the server ends a new connection without a reply: it may expect TLS, or be no Redis")
	case slices.ContainsFunc(garbled, func(begins string) bool { return strings.HasPrefix(err.Error(), begins) }):
		return found("the replies of the server are not those of Redis")
	}
	return nil
}

// secured reports whether the Store's client uses TLS.
func (s *Store) secured() bool {
	switch c := s.client.(type) {
	case *goredis.Client:
		return c.Options().TLSConfig != nil
	case *goredis.ClusterClient:
		return c.Options().TLSConfig != nil
	}
	return false
}

// inspectServer finds out about one server, on a connection of its own. It writes nothing.
func (s *Store) inspectServer(ctx context.Context, o *goredis.Options) (i inspection, err error) {
	conn, err := dial(ctx, o)
	if err != nil {
		return i, err
	}
	client := only(o, conn)
	defer client.Close()
	// The connection may ignore ctx until its deadline.
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	pipe := client.Pipeline()
	hello := pipe.Do(ctx, "HELLO") // may be called without a permission
	refused, memory := s.askCommands(ctx, pipe), s.askMemory(ctx, pipe)
	if _, err := pipe.Exec(ctx); isOutage(err) {
		return i, contextErr(ctx, err)
	}
	if i.latency, err = s.roundTrip(ctx, client.Client); err != nil {
		return i, err
	}
	i.findings = []Finding{} // none, which differs from not known
	i.greeted(s.single, pairs(hello.Val()))
	missing, err := s.checkCommands(refused)
	i.note(missing)
	i.note(s.checkMemory(memory))
	return i, err
}

// maxRoundTrips is how many round trips are measured, if they are long.
const maxRoundTrips = 8

// roundTrip returns how long a command takes. If that is long, it measures several, because a
// process that runs late makes a Redis look far away.
func (s *Store) roundTrip(ctx context.Context, client *goredis.Client) (shortest time.Duration, err error) {
	shortest = math.MaxInt64
	for range maxRoundTrips {
		start := time.Now()
		if err := client.Get(ctx, s.opts.Prefix+":probe").Err(); isOutage(err) { // a key that nothing stores
			return 0, contextErr(ctx, err)
		}
		took := time.Since(start)
		shortest = min(shortest, took)
		if end, _ := ctx.Deadline(); shortest <= s.opts.Timeout/2 || time.Until(end) < 2*took {
			break
		}
	}
	return shortest, nil
}

// distance returns the finding that two round trips do not fit into the budget.
func (s *Store) distance(roundTrip time.Duration) Finding {
	budget := s.opts.Timeout
	if roundTrip <= budget/2 {
		return Finding{}
	}
	text := "which is more than half of Options.Timeout, %v: a call that needs a second command does without"
	if roundTrip > budget {
		text = "which is more than Options.Timeout, %v: no command is answered in time"
	}
	return Finding{FindingDistance, fmt.Sprintf("a round trip to Redis takes %v, "+text, roundTrip.Round(time.Millisecond/10), budget)}
}

// note adds f, if f is a finding.
func (i *inspection) note(f Finding) {
	if f != (Finding{}) {
		i.findings = append(i.findings, f)
	}
}

// contextErr returns the error of ctx in place of that of a connection which was closed because
// ctx ended.
func contextErr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// greeted notes what the server says of itself in its reply to HELLO. single reports whether
// the client expects one server that holds every key.
func (i *inspection) greeted(single bool, hello map[string]string) {
	name, version := hello["server"], hello["version"]
	if remote.ValidName(name) && remote.ValidName(version) {
		i.server = name + " " + version
	}
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	if name == "redis" && err == nil && major < 7 {
		i.note(Finding{FindingVersion, "the server is older than Redis 7.0, with which nearside is tested"})
	}
	switch {
	case hello["mode"] == "sentinel":
		i.note(Finding{FindingSentinel, "the server is a Sentinel: a failover client of go-redis finds the primary by its Sentinels"})
	case single && hello["mode"] == "cluster":
		i.note(Finding{FindingCluster, "the server is a node of a Cluster: most keys are on other nodes, which only a ClusterClient of go-redis finds"})
	case single && (hello["role"] == "replica" || hello["role"] == "slave"):
		i.note(Finding{FindingReplica, "the server is a replica and takes no writes"})
	}
}

// pairs returns a reply of names and values as a map, in either version of the protocol.
func pairs(reply any) map[string]string {
	m := make(map[string]string)
	switch reply := reply.(type) {
	case map[any]any:
		for name, value := range reply {
			m[fmt.Sprint(name)] = fmt.Sprint(value)
		}
	case []any:
		for i := 1; i < len(reply); i += 2 {
			m[fmt.Sprint(reply[i-1])] = fmt.Sprint(reply[i])
		}
	}
	return m
}

// askMemory asks for the memory of a server and its eviction policy; nil if the server has
// refused that before, because the server logs each refusal. Many services refuse CONFIG,
// which has the policy, too.
func (s *Store) askMemory(ctx context.Context, pipe goredis.Pipeliner) *goredis.StringCmd {
	if s.infoRefused.Load() {
		return nil
	}
	return pipe.Info(ctx, "memory")
}

// checkMemory returns the finding of askMemory. Every key of a Store has a TTL, so that the
// policies volatile-* evict the same as allkeys-*.
func (s *Store) checkMemory(asked *goredis.StringCmd) Finding {
	if asked == nil {
		return Finding{}
	}
	text, err := asked.Result()
	if refusal(unquote(err)) != (Finding{}) {
		s.infoRefused.Store(true)
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
	}
	size := func(name string) int64 {
		n, _ := strconv.ParseInt(info[name], 10, 64)
		return n
	}
	limit, policy := size("maxmemory"), info["maxmemory_policy"]
	switch {
	case limit == 0 || !remote.ValidName(policy): // a limit of 0 is none
	case policy != "noeviction":
		return Finding{FindingEviction, "maxmemory-policy is " + policy + ": when its memory is full, Redis evicts leases, tombstones, the records of tags and the log, too"}
	case size("used_memory")-size("mem_not_counted_for_evict") >= limit:
		return Finding{FindingMemory, "the memory is full and maxmemory-policy is noeviction: Redis stores no value and no invalidation"}
	}
	return Finding{}
}
