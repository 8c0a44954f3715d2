package redis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// The bounds of a part of a call with many keys. A part makes one round trip to one node, with
// a budget of its own.
const (
	readPart  = 1000    // records to be read
	partBytes = 4 << 20 // of records, as far as can be foreseen
)

// GetMany reads the records of keys like Get, in one round trip to each node, side by side. It
// makes a round trip for each 1,000 keys of a node, or for fewer where the records of the cache
// were large, one after the other. When a node does not answer, its other keys are not asked for.
func (s *Store) GetMany(ctx context.Context, keys []string, confirm bool) []remote.Reply {
	got, reads := make([]remote.Reply, len(keys)), make([]recordRead, len(keys))
	names := s.redisKeys(keys)
	for i, key := range keys {
		reads[i] = recordRead{log: s.log(key), key: names[i], confirm: confirm}
	}
	cut := func(left []int) int { return s.sizes.fit(keys[left[0]], len(left)) }
	s.inParts(names, cut, func(_ *circuit, part []int) error {
		of := make([]recordRead, len(part))
		for n, i := range part {
			of[n] = reads[i]
		}
		replies, err := s.readRecords(ctx, of, s.joined.note)
		bytes, silence := 0, err
		for n, i := range part {
			if got[i].Err = err; err == nil {
				got[i].Record, got[i].Err = replies[n].rec, replies[n].err
				bytes += len(replies[n].get.Val())
			}
			if isSilence(got[i].Err) {
				silence = got[i].Err
			}
		}
		if late := errors.Is(silence, errLate); late || silence == nil { // or nothing was learned
			s.sizes.note(keys[part[0]], len(part), bytes, late)
		}
		return silence
	}, func(i int, err error) { got[i].Err = err })
	return got
}

// LeaseMany takes leases, in one round trip to each node for some hundred keys.
func (s *Store) LeaseMany(ctx context.Context, asks []remote.LeaseAsk, hold time.Duration) []remote.Reply {
	keys, asking := make([]string, len(asks)), make([]asking, len(asks))
	for i, ask := range asks {
		asking[i] = s.asking(ask)
		keys[i] = asking[i].key
	}
	got := make([]remote.Reply, len(asks))
	for i, e := range s.evalMany(ctx, keys, func(int) int { return 0 }, func(b *batch, i int) *goredis.Cmd {
		script, args := asking[i].script(s.opts.LeaseTTL)
		return b.eval(script, asking[i].key, args...)
	}) {
		yes, rest, err := e.list()
		got[i] = s.leased(asking[i], hold, yes, rest, err)
	}
	return got
}

// EndMany ends leases of this Store, in one round trip to each node for some hundred keys or
// some megabytes.
func (s *Store) EndMany(ctx context.Context, ends []remote.LeaseEnd) []remote.Ended {
	keys, fills := make([]string, len(ends)), make([]filling, len(ends))
	for i, e := range ends {
		l := e.Lease.(*lease)
		l.end()
		keys[i] = l.key
		if e.Fill != nil {
			fills[i] = l.prepare(*e.Fill)
		}
	}
	got := make([]remote.Ended, len(ends))
	var whole []int
	for i, e := range s.evalMany(ctx, keys, func(i int) int { return len(fills[i].value) }, func(b *batch, i int) *goredis.Cmd {
		l := ends[i].Lease.(*lease)
		if ends[i].Fill == nil {
			return b.eval(releaseScript, l.key, l.record)
		}
		script, args := fills[i].first()
		return b.eval(script, l.key, args...)
	}) {
		l := ends[i].Lease.(*lease)
		if ends[i].Fill == nil {
			stood, _ := e.reply.(int64)
			got[i].Held, got[i].Err = l.released(stood, e.err)
			continue
		}
		yes, rest, err := e.list()
		if mustSendWhole(rest, err) {
			whole = append(whole, i)
			continue
		}
		got[i].Held, got[i].Err = l.filled(yes, rest, err)
	}
	if len(whole) > 0 {
		s.sendWhole(ctx, fills, whole, got)
	}
	return got
}

// sendWhole fills the leases of those fills whose whole values must be sent.
func (s *Store) sendWhole(ctx context.Context, fills []filling, whole []int, got []remote.Ended) {
	keys := make([]string, len(whole))
	for n, i := range whole {
		keys[n] = fills[i].l.key
	}
	for n, e := range s.evalMany(ctx, keys, func(n int) int { return len(fills[whole[n]].value) }, func(b *batch, n int) *goredis.Cmd {
		f := fills[whole[n]]
		return b.eval(fillScript, keys[n], f.args(f.value)...)
	}) {
		yes, rest, err := e.list()
		i := whole[n]
		got[i].Held, got[i].Err = fills[i].l.filled(yes, rest, err)
	}
}

// TouchMany renews the TTLs of values, in one round trip to each node for some hundred keys.
func (s *Store) TouchMany(ctx context.Context, keys []string) (renewed int, first error) {
	keys = s.redisKeys(keys)
	for _, e := range s.evalMany(ctx, keys, func(int) int { return 0 }, func(b *batch, i int) *goredis.Cmd {
		return b.eval(touchScript, keys[i])
	}) {
		if left, is := e.reply.(int64); is && left > 0 {
			renewed++
		}
		if first == nil {
			first = e.err
		}
	}
	return renewed, first
}

// evaluated is the outcome of a script.
type evaluated struct {
	reply any
	err   error
}

// list returns a reply that is a list: see evalList.
func (e evaluated) list() (yes bool, rest []any, err error) {
	list, is := e.reply.([]any)
	switch {
	case e.err != nil:
		return false, nil, e.err
	case !is || len(list) == 0:
		return false, nil, errReply
	}
	return list[0] == int64(1), list[1:], nil
}

// changed reports whether the script has changed anything: see errNoChange.
func (e evaluated) changed() bool {
	if list, is := e.reply.([]any); is {
		return len(list) > 0 && list[0] == int64(1)
	}
	return e.reply != int64(0)
}

// evalMany runs a script for each of keys of Redis, which add adds to a batch. size returns how
// many bytes the arguments of a key's script have, beside the key.
func (s *Store) evalMany(ctx context.Context, keys []string, size func(int) int, add func(b *batch, i int) *goredis.Cmd) []evaluated {
	got := make([]evaluated, len(keys))
	cut := func(part []int) int {
		bytes := 0
		for n, i := range part {
			if bytes += len(keys[i]) + size(i); n > 0 && (n == batchSize || bytes > partBytes) {
				return n
			}
		}
		return len(part)
	}
	s.inParts(keys, cut, func(c *circuit, part []int) error {
		// The command may outlive this function, so it writes to nothing that is read here.
		of, err := inTurn(ctx, c.writes, func(ctx context.Context) ([]evaluated, error) {
			var cmds []*goredis.Cmd
			err := s.exec(ctx, func(b *batch) {
				cmds = cmds[:0]
				for _, i := range part {
					cmds = append(cmds, add(b, i))
				}
			})
			setUp := err // of the connection, if no command has an error
			if slices.ContainsFunc(cmds, func(cmd *goredis.Cmd) bool { return cmd.Err() != nil }) {
				setUp = nil
			}
			of, changed := make([]evaluated, len(cmds)), false
			for n, cmd := range cmds {
				of[n] = evaluated{cmd.Val(), unquote(cmp.Or(cmd.Err(), setUp))}
				changed = changed || of[n].err == nil && of[n].changed()
			}
			if err == nil && !changed {
				err = errNoChange
			}
			return of, err
		})
		if err == errNoChange {
			err = nil
		}
		for n, i := range part {
			switch {
			case of == nil:
				got[i].err = err
			case err != nil && of[n].err != nil && !isReply(of[n].err):
				got[i].err = err // in the words of send
			default:
				got[i] = of[n]
			}
		}
		return err
	}, func(i int, err error) { got[i].err = err })
	return got
}

// inParts calls do with parts of keys of Redis, as places in keys: those of different nodes side
// by side, and those of one node one after the other. cut returns how many of the keys that are
// left of a node belong to the next part. When do returns an error that means silence, fail is
// called for the keys of the node that are left.
func (s *Store) inParts(keys []string, cut func([]int) int, do func(*circuit, []int) error, fail func(int, error)) {
	var nodes sync.WaitGroup
	of := func(c *circuit, left []int) {
		for len(left) > 0 {
			n := cut(left)
			err := do(c, left[:n])
			left = left[n:]
			if err == nil || !isSilence(err) {
				continue
			}
			for _, i := range left {
				fail(i, err)
			}
			return
		}
	}
	parts := s.splitPlaces(keys)
	for c, places := range parts {
		if len(parts) == 1 {
			of(c, places)
		} else {
			nodes.Go(func() { of(c, places) })
		}
	}
	nodes.Wait()
}

// splitPlaces returns the places in keys of the keys of each circuit.
func (s *Store) splitPlaces(keys []string) map[*circuit][]int {
	parts := make(map[*circuit][]int)
	for i, key := range keys {
		c := s.circuitOf(key)
		parts[c] = append(parts[c], i)
	}
	return parts
}

// sizes are how large the records of caches are on average, as their last parts show.
type sizes struct {
	mu sync.Mutex // guards of
	of map[string]int
}

// fit returns how many of the records that are left belong into the next part. key is that of
// the first.
func (s *sizes) fit(key string, left int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, min(left, readPart, partBytes/max(1, s.of[cacheOf(key)])))
}

// note notes the result of a part of so many records. A part whose answer came too late may have
// been too large: the next one has half as many records.
func (s *sizes) note(key string, records, bytes int, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[string]int)
	}
	size := bytes / records
	if late {
		size = min(2*partBytes/records, partBytes)
	}
	s.of[cacheOf(key)] = size
}

func (s *Store) redisKeys(names []string) []string {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = s.redisKey(name)
	}
	return keys
}
