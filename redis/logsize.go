package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// logTTL is how long a log outlives the last Store that reads it or appends to it.
	logTTL = 24 * time.Hour

	// entryOverhead is about how many bytes Redis needs for an entry besides the entry's
	// own, at most.
	entryOverhead = 128

	// maxLastEntry is the largest size of an entry that may be the last of a log.
	maxLastEntry = 1024
)

// entriesKept returns how many entries a log keeps when an entry of size bytes is appended:
// at most length, and as many as take bytes if all are of that size. No state is needed.
// The size of a log follows:
//
//   - Entries of one size, or growing entries, take bytes.
//   - Shrinking entries take more. The nth entry from the oldest was appended when the log
//     kept n entries or more, so its size is at most bytes/n. Together the entries take
//     bytes x (1 + 1/2 + ... + 1/length), which is less than bytes x (1 + ln(length)).
//   - A single entry may be larger than bytes, and is kept.
func entriesKept(size, length, bytes int) int64 {
	return int64(min(length, max(1, bytes/(size+entryOverhead))))
}

// noteRenewal notes that the TTL of the log was renewed.
func (p *partition) noteRenewal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewed = time.Now()
}

// renewalDue reports whether the Store's last renewal is an eighth of the TTL ago.
func (p *partition) renewalDue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.renewed) >= logTTL/8
}

// renew renews the TTL of a log to which nothing is appended. After a refusal of the
// server, the next attempt is an eighth of the TTL later.
func (r *session) renew(ctx context.Context) error {
	if !r.renewalDue() {
		return nil
	}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	pipe := r.client.Pipeline()
	pipe.PExpire(ctx, r.key, logTTL)
	pipe.PExpire(ctx, r.markKey, logTTL)
	_, err := pipe.Exec(ctx)
	var reply goredis.Error
	if err != nil && !errors.As(err, &reply) {
		return err
	}
	r.noteRenewal()
	return nil
}

// lastEntry reads the last entry, and renews the TTL of the log if the server allows the
// renewal.
func (r *session) lastEntry(ctx context.Context) ([]goredis.XMessage, error) {
	pipe := r.client.Pipeline()
	last, renewed := pipe.XRevRangeN(ctx, r.key, "+", "-", 1), pipe.PExpire(ctx, r.key, logTTL)
	marked := pipe.PExpire(ctx, r.markKey, logTTL)
	_, err := pipe.Exec(ctx)
	if last.Err() != nil || renewed.Err() != nil || marked.Err() != nil {
		err = last.Err()
	}
	if err == nil {
		r.noteRenewal()
	}
	return last.Val(), err
}
