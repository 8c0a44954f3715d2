package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/cache/internal/validity"
	"github.com/nearside-go/nearside/cache/remote"
)

// validate reports whether a record is valid by its tags and as part of the whole cache,
// and as of which time. For tags that this instance cannot vouch for it asks the remote
// tier, within the budget. If the remote tier cannot answer either, the record is invalid.
func (t *fetch[K, V]) validate(ctx context.Context, rec remote.Record) (valid bool, asOf time.Time) {
	if t.cameBack(rec) {
		if t.wasThere(rec) {
			t.c.repeatFrom(t.invalidated.At)
		}
		return false, asOf
	}
	for _, tag := range rec.Tags {
		if t.c.journal.Has(t.c.tagPrefix + tag) {
			return false, asOf
		}
	}
	if t.c.journal.Has(t.c.tagPrefix) {
		return false, asOf
	}
	v := t.checkTagsOf(rec)
	if v.Invalid || len(v.Unknown) == 0 {
		return !v.Invalid, t.snap.asOf
	}
	asOf = t.snap.asOf
	if !v.Live {
		asOf = rec.Asked // then every tag is Unknown
	}
	t.c.counters.tagLookups.Add(1)
	var positions []*remote.Position
	err := t.spend(ctx, func(ctx context.Context) (err error) {
		if m := t.member; m.in() {
			if got, in, _ := m.g.tags.Do(ctx, m.Member, t.c.tagNames(v.Unknown)); in {
				positions = got.positions
				return got.err
			}
		}
		positions, err = t.c.opts.Remote.TagPositions(ctx, t.c.tagNames(v.Unknown)...)
		return err
	})
	if t.check(ctx, "tags", remote.Record{}, err) != nil {
		return false, asOf
	}
	return t.c.invalidations.Resolve(v, rec.Stamp, positions), asOf
}

func (t *fetch[K, V]) checkTagsOf(rec remote.Record) validity.Verdict {
	return t.c.invalidations.Check(rec.Stamp, rec.Tags, rec.Complete || t.snap.live)
}

// asksMore reports whether to judge the record takes a command of the remote tier.
func (t *fetch[K, V]) asksMore() bool {
	rec := t.seen.rec
	if t.seen.err != nil || rec.State != remote.StateValue {
		return false
	}
	v := t.checkTagsOf(rec)
	return !v.Invalid && len(v.Unknown) > 0
}

// clockSteps is more than the steps of Redis' clock add to the age of a record.
const clockSteps = 2 * time.Millisecond

// cameBack reports whether the server had deleted a record, and has lost that: the record has
// a stamp from before an invalidation of its key, and was there when this instance learned of
// the invalidation. A record that was filled later is of a load that began after the
// deletion, on an instance that was not told yet.
func (t *fetch[K, V]) cameBack(rec remote.Record) bool {
	return rec.Stamp.Before(t.invalidated.At) &&
		rec.TTL-rec.Left > rec.Asked.Sub(t.invalidated.Since)+clockSteps
}

// attempt is much longer than the time from a deletion to its entry in the log.
const attempt = time.Second

// wasThere reports whether a record that came back was there before its deletion, for sure. One
// that was filled between the deletion and the delivery of its entry, by an instance that was
// not told either, is valid, and says nothing about the server.
func (t *fetch[K, V]) wasThere(rec remote.Record) bool {
	return rec.TTL-rec.Left > rec.Asked.Sub(t.invalidated.AsOf)+attempt
}
