package redis

import (
	"context"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// A server can lose entries of the log that it has acknowledged: in a failover to a replica
// that was behind, or when it is restarted with an old dump. With the entries it loses the
// changes of records that came before them, and serves old values again. The Stores of the
// fleet have not lost the entries. A Store that finds entries lost tells its followers, who
// make the invalidations again. Two things show a loss:
//
//   - An entry that was delivered is not in the log any more, although earlier ones are, or
//     other ones at earlier positions: see loss.
//   - An entry that this Store has appended has not been delivered when a later one is: see
//     unseen.

const (
	// historySpan and maxHistory bound the places of delivered entries that are kept, to
	// find out how many entries were lost. The last recentPlaces are kept for longer.
	historySpan = time.Minute
	maxHistory  = 4096

	// maxUnseen bounds the names of own entries that are waited for.
	maxUnseen = 10_000
)

// history has the places of the last delivered entries.
type history []passed

type passed struct {
	at   remote.Position
	sum  uint64 // of the entry
	when time.Time
}

var sumSeed = maphash.MakeSeed()

func sumOf(entry any) uint64 {
	text, _ := entry.(string)
	return maphash.String(sumSeed, text)
}

func (h *history) add(p place) {
	now := time.Now()
	*h = append(*h, passed{p.at, sumOf(p.entry), now})
	old := max(0, len(*h)-maxHistory)
	for old < len(*h)-recentPlaces && now.Sub((*h)[old].when) > historySpan {
		old++
	}
	*h = (*h)[old:]
}

// loss finds out why the last delivered entry is not in the log. lost reports that entries
// behind the position to are lost; a zero to means that none of the entries of the history
// is left. A log that begins behind the last delivered entry was trimmed, or it was evicted,
// deleted or flushed and begun anew. That takes entries from the front, or all of them, and
// restores no record. A server that has lost writes has a log that ends too early.
func (r *session) loss(ctx context.Context) (lost bool, to remote.Position, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	first, err := r.client.XRangeN(ctx, r.key, "-", "+", 1).Result()
	if err != nil {
		return false, to, err
	}
	begins := lastOf(first)
	if begins == (place{}) || r.last().at.Before(begins.at) {
		return false, to, nil
	}
	r.mu.Lock()
	delivered := slices.DeleteFunc(slices.Clone(r.history), func(p passed) bool { return p.at.Before(begins.at) })
	r.mu.Unlock()
	// The log has the entries of the history up to some place, and none behind it.
	var failed error
	n, _ := slices.BinarySearchFunc(delivered, true, func(p passed, _ bool) int {
		if failed != nil {
			return 1
		}
		id := formatPosition(p.at)
		found, err := r.client.XRangeN(ctx, r.key, id, id, 1).Result()
		if err != nil {
			failed = err
		}
		if len(found) > 0 && sumOf(found[0].Values[entryField]) == p.sum {
			return -1
		}
		return 1
	})
	if failed != nil {
		return false, to, failed
	}
	if n > 0 {
		to = delivered[n-1].at
	}
	return true, to, nil
}

// unseen are the entries that this Store has appended, or is about to append, and that its
// reader has not delivered yet.
type unseen map[nonce]*appended

type appended struct {
	names []string
	sent  time.Time
	jumps uint64          // partition.jumps when the entry was sent
	at    remote.Position // zero until the server has acknowledged the entry
}

// expect notes that an entry is about to be appended.
func (p *partition) expect(n nonce, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unseen == nil {
		p.unseen = make(unseen)
	}
	if p.started && p.unseenNames+len(names) <= maxUnseen {
		p.unseen[n] = &appended{names: names, sent: time.Now(), jumps: p.jumps}
		p.unseenNames += len(names)
	}
}

func (p *partition) dropUnseenLocked(n nonce) {
	if a := p.unseen[n]; a != nil {
		delete(p.unseen, n)
		p.unseenNames -= len(a.names)
	}
}

// takeUnseen returns the names of all entries that are waited for, and waits for them no
// more: the server has lost entries, and these may be among them.
func (p *partition) takeUnseen() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, a := range p.unseen {
		names = append(names, a.names...)
		p.dropUnseenLocked(n)
	}
	return names
}

// unexpect notes that an entry was delivered, or that its append has failed.
func (p *partition) unexpect(n nonce) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropUnseenLocked(n)
}

// acknowledge notes that the server has appended an entry at a position.
func (p *partition) acknowledge(n nonce, at remote.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.unseen[n]; a != nil {
		a.at = at
		p.findLostLocked()
	}
}

// findLostLocked finds the entries of this Store that the reader has passed without
// delivering them. They were appended to the log of a server that has lost them since, or
// that the reader did not read. Their names go to the followers on another goroutine.
func (p *partition) findLostLocked() {
	var names []string
	to, now := remote.Position{Time: math.MaxUint64}, time.Now()
	for n, a := range p.unseen {
		switch {
		case now.Sub(a.sent) > historySpan: // its command was abandoned, or the log cannot be read
			p.dropUnseenLocked(n)
		case a.at == (remote.Position{}): // not acknowledged yet
		case a.jumps != p.jumps:
			p.dropUnseenLocked(n) // the reader has jumped over it
		case !p.delivered.Before(a.at):
			p.dropUnseenLocked(n)
			names = append(names, a.names...)
			if a.at.Before(to) {
				to = a.at
			}
		}
	}
	if len(names) == 0 {
		return
	}
	before := remote.Position{Time: to.Time - 1, Seq: math.MaxUint64}
	p.s.inBackground(func(context.Context) {
		defer p.s.outage.missed(false, true) // without the lock
		p.deliverMu.Lock()
		defer p.deliverMu.Unlock()
		p.revert(before, names)
	})
}

// revert tells the followers that entries are lost. Call it with deliverMu.
func (p *partition) revert(to remote.Position, names []string) {
	p.mu.Lock()
	p.reverts++
	p.mu.Unlock()
	for _, f := range p.currentFollowers() {
		var own []string
		for _, name := range names {
			if cacheOf(name) == f.cache {
				own = append(own, name)
			}
		}
		f.Reverted(to, own)
	}
}
