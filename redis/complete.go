package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// A read that must know whether the whole log is delivered also asks for the mark of the
// log, in its pipeline. The mark is a random string, which a Store replaces behind each of
// its entries. The mark costs Redis a GET. To read the last entry of a stream costs several
// times as much.
//
// Suppose that a read finds mark m and, behind it in the same pipeline, entry e at the end
// of the log, and that e is delivered to the followers. When a later read finds m again,
// every entry of the log is delivered:
//
//  1. An entry whose mark was written before m was read was appended before m was read,
//     too. So the entry is e, or before e.
//  2. An entry whose mark was written after m was read has replaced m, and no Store writes
//     the same mark again.
//
// The mark must be written behind the entry, so both are on one node of a Cluster. If a
// Store dies between the two writes, its Invalidate has not returned.

// mark replaces the mark of the log.
func (p *partition) mark(ctx context.Context, c goredis.Cmdable) *goredis.StatusCmd {
	return c.Set(ctx, p.markKey, newMark{}, logTTL)
}

// newMark is a different mark each time that it is written. A client without the reply may
// send a pipeline again. With a fixed mark, the second sending would restore a mark for
// fewer entries than the log then has.
type newMark struct{}

// MarshalBinary returns a random mark.
func (newMark) MarshalBinary() ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, rand.Uint64()), nil
}

// marked is a mark that proves that every entry is delivered. The zero value is no mark.
type marked struct {
	mark  string
	tells uint64 // partition.tells when the mark was found
}

// look is the part of a round trip that asks about a log.
type look struct {
	log  *partition
	mark *goredis.StringCmd
	end  *goredis.XMessageSliceCmd // nil if the mark is expected to suffice

	complete bool // every entry that was in the log then is delivered
}

// looks are the looks of one round trip, at most one for each log.
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

// lookApart looks at the log of r, if r confirms and another circuit than c has the log. The
// node of the log may be ill while the node of the record serves. So the look is a command of
// its own, beside the read. Otherwise lookApart returns nil.
func (s *Store) lookApart(ctx context.Context, r recordRead, c *circuit) <-chan looks {
	if s.single || !r.confirm {
		return nil
	}
	of := s.circuitOf(r.log.key)
	if of == c {
		return nil
	}
	looked := make(chan looks, 1)
	go func() {
		l, _ := send(ctx, of.reads, func(ctx context.Context) (l looks, err error) {
			pipe := s.client.Pipeline()
			if l.ask(ctx, pipe, r.log); len(l) == 0 {
				return nil, errNoChange // nothing is sent, and nothing learned
			}
			_, err = pipe.Exec(ctx)
			if errors.Is(err, goredis.Nil) {
				err = nil
			}
			return l, err
		})
		looked <- l
	}()
	return looked
}

// complete reports whether the look at p has shown that every entry is delivered.
func (l looks) complete(p *partition) bool {
	return slices.ContainsFunc(l, func(look look) bool { return look.log == p && look.complete })
}

// busy is how long after its last entry a log is expected to get another.
const busy = 200 * time.Millisecond

// ask adds a look to the pipeline of a read. It also asks for the end of the log if no mark
// is known, or if the mark is bound to be another: more entries were delivered, or are
// expected.
func (p *partition) ask(ctx context.Context, pipe goredis.Pipeliner) (l look, ok bool) {
	p.mu.Lock()
	following := p.following
	known := p.marked.mark != "" && p.marked.tells == p.tells && time.Since(p.lastTell) > busy
	p.mu.Unlock()
	if !following { // the replies would prove nothing
		return l, false
	}
	l = look{log: p, mark: pipe.Get(ctx, p.markKey)}
	if !known {
		l.end = pipe.XRevRangeN(ctx, p.key, "+", "-", 1)
	}
	return l, true
}

// answers reports whether every entry in the log at the time of l is delivered to the
// followers. It may wait a little for the reader, at most for left.
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

// recentPlaces is how many of the last delivered entries are kept for comparison.
const recentPlaces = 64

// recent are the places of the last entries delivered to the followers.
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

// completeWait is the fraction of the budget for which a read may wait for the log's
// reader: an eighth. Redis sends an entry to the read and to the reader at once. A reader
// that does not lag receives a missing entry within a millisecond.
const completeWait = 8

// reaches reports whether every entry up to end is delivered to the followers. A command of
// the Store has just found end at the end of the log, behind mark. reaches compares the
// contents of end, because another entry may stand at the same position: in the log of a
// server that has lost entries, or of a server that the reader does not read.
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

// meets reports whether end is delivered. While the answer is open, meets returns a channel
// that is closed when more is delivered.
func (p *partition) meets(end place, mark string) (met bool, progress <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.following:
		return false, nil
	case p.recent.has(end):
		p.marked = marked{mark, p.tells}
		return true, nil
	case !p.delivered.Before(end.at):
		return false, nil // the reader is past end, and end is not a recent entry
	}
	if p.progress == nil {
		p.progress = make(chan struct{})
	}
	return false, p.progress
}

// tellProgressLocked notes that more is delivered, and wakes the reads that wait.
func (p *partition) tellProgressLocked() {
	p.tells++
	p.lastTell = time.Now()
	if p.progress != nil {
		close(p.progress)
		p.progress = nil
	}
}
