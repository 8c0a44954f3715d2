package redis

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// A read that has to know whether all of the log was told asks for the mark of the log in
// its pipeline: a random string, which a Store replaces behind each of its entries. It costs
// Redis a GET; to read the last entry of a stream costs several times as much. Say that a
// read finds mark m and, behind it in the same pipeline, entry e at the end of the log, and
// that the followers have been told of e. Then whoever finds m later knows that they have
// been told of everything:
//
//  1. An entry whose mark was written before m was read was appended before that, too,
//     and so is e, or before e.
//  2. An entry whose mark was written after m was read has replaced m, and nobody writes
//     the same mark again.
//
// The mark must be written behind the entry, so both are on one node of a Cluster. Where the
// two are written by a Store that dies in between, its Invalidate has not returned.

// mark replaces the mark of the log.
func (p *partition) mark(ctx context.Context, c goredis.Cmdable) *goredis.StatusCmd {
	return c.Set(ctx, p.markKey, newMark{}, logTTL)
}

// newMark is another mark each time that it is written: a client that lost the reply may send
// a pipeline again, and would bring back a mark that stands for less than there is by then.
type newMark struct{}

// MarshalBinary returns a mark.
func (newMark) MarshalBinary() ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, rand.Uint64()), nil
}

// marked is a mark by which everything has been told. The zero value is none.
type marked struct {
	mark  string
	tells uint64 // partition.tells when it was found
}

// look is what a round trip asks of a log.
type look struct {
	log  *partition
	mark *goredis.StringCmd
	end  *goredis.XMessageSliceCmd // nil if the mark is expected to be enough

	complete bool // the followers have been told of every entry that was in the log then
}

// looks are those of one round trip, one at each log.
type looks []look

// ask adds a look at p to the pipeline of a round trip, if there is none.
func (l *looks) ask(ctx context.Context, pipe goredis.Pipeliner, p *partition) {
	for _, look := range *l {
		if look.log == p {
			return
		}
	}
	if look, ok := p.ask(ctx, pipe); ok {
		*l = append(*l, look)
	}
}

// complete reports what the look at p has shown.
func (l looks) complete(p *partition) bool {
	return slices.ContainsFunc(l, func(look look) bool { return look.log == p && look.complete })
}

// busy is how long after its last entry a log is expected to go on.
const busy = 200 * time.Millisecond

// ask adds a look to the pipeline of a read. The end of the log is asked for when the mark
// is not known, or is bound to be another: more entries were told, or are expected.
func (p *partition) ask(ctx context.Context, pipe goredis.Pipeliner) (l look, ok bool) {
	p.mu.Lock()
	following := p.following
	known := p.marked.mark != "" && p.marked.tells == p.tells && time.Since(p.lastTell) > busy
	p.mu.Unlock()
	if !following { // nothing would follow from it
		return l, false
	}
	l = look{log: p, mark: pipe.Get(ctx, p.markKey)}
	if !known {
		l.end = pipe.XRevRangeN(ctx, p.key, "+", "-", 1)
	}
	return l, true
}

// answers reports whether the followers have been told of every entry that was in the log
// when l was asked. It may wait a little for the reader, and not longer than there is left.
func (p *partition) answers(ctx context.Context, l look, left time.Duration) bool {
	if err := l.mark.Err(); err != nil && err != goredis.Nil || l.end != nil && l.end.Err() != nil {
		return false
	}
	mark := l.mark.Val()
	p.mu.Lock()
	following, known := p.following, l.end == nil && mark != "" && mark == p.marked.mark
	if !known && l.end == nil {
		p.marked = marked{} // the next read asks for the end
	}
	p.mu.Unlock()
	if !following || known || l.end == nil {
		return following && known
	}
	return p.reaches(ctx, lastOf(l.end.Val()), mark, min(left, p.s.opts.Timeout/completeWait))
}

// recentPlaces is how many of the last entries that followers were told of are kept, to
// know them again.
const recentPlaces = 64

// recent are the last places of the log that followers were told of.
type recent struct {
	places [recentPlaces]place
	next   int
}

func (r *recent) add(p place) {
	r.places[r.next] = p
	r.next = (r.next + 1) % recentPlaces
}

func (r *recent) last() place { return r.places[(r.next+recentPlaces-1)%recentPlaces] }

func (r *recent) has(p place) bool {
	if p == (place{}) {
		return false
	}
	for _, known := range r.places {
		if known == p {
			return true
		}
	}
	return false
}

// completeWait is the part of the budget that a read may wait for the log's reader. Redis
// sends an entry to both at once: what the reader lacks it has within a millisecond, or it
// lags.
const completeWait = 8

// reaches reports whether the followers have been told of every entry up to the one that
// a command of the Store has just found at the end of the log, behind a mark. The entry is
// known by its contents: another one may stand at the same position, in the log of a server
// that has lost entries, or that the reader does not read.
func (p *partition) reaches(ctx context.Context, end place, mark string, wait time.Duration) bool {
	reached, progress := p.meets(end, mark)
	if progress == nil {
		return reached
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	for ; progress != nil; reached, progress = p.meets(end, mark) {
		select {
		case <-progress:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return reached
}

// meets reports whether end was told, or returns what is closed when there is more to look
// at.
func (p *partition) meets(end place, mark string) (met bool, progress <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.following:
		return false, nil
	case p.recent.has(end):
		p.marked = marked{mark, p.tells}
		return true, nil
	case !p.toldAll.Before(end.at):
		return false, nil // the reader is past it, and has not met it of late
	}
	if p.progress == nil {
		p.progress = make(chan struct{})
	}
	return false, p.progress
}

func (p *partition) tellProgressLocked() {
	p.tells++
	p.lastTell = time.Now()
	if p.progress != nil {
		close(p.progress)
		p.progress = nil
	}
}
