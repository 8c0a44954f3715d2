package redis

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// The first byte of a record is its kind, the second the version of its format.
// docs/wire.md has the layouts.
const (
	kindLease     = 'L'
	kindTombstone = 'T'
	kindValue     = 'V'

	wireVersion = 2
	maxVersion  = 31 // larger is foreign; leases and tombstones up to here are heeded

	flagNotFound    = 1 << 0
	flagReplaceable = 1 << 1 // a value that may stay while a load replaces it: see the offsets below

	leaseSize    = 2 + 16 // kind, version, token
	tokensOffset = 3      // of the tokens of a tombstone, behind kind, version and count
	tokenSize    = 16
	headerSize   = 24 // kind, version, flags, zero, deadline, TTL, checksum
	stampEnd     = 40 // the tags follow, or in a replaceable value the window
	windowEnd    = 48 // the duration of the load follows
	renewalStart = 56 // of the lease beside the value, token and end
	renewalEnd   = 80 // the tags follow

	versionHead = 64 // bytes of a record that are in its Version
)

var (
	errForeign  = errors.New("redis: not a record of this library")
	errVersion  = errors.New("redis: a record of another version")
	errChecksum = errors.New("redis: the checksum does not match the key and the record")
	errNoTTL    = errors.New("redis: a record without a TTL")
	errType     = errors.New("redis: not a string")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newLease returns a lease record with a new token.
func newLease() []byte {
	b := make([]byte, leaseSize)
	b[0], b[1] = kindLease, wireVersion
	rand.Read(b[2:])
	return b
}

// encodeValue returns the record of a value under key. deadline is in milliseconds of
// Redis' clock; no touch extends the record's life beyond deadline.
func encodeValue(key string, f remote.Fill, deadline int64) []byte {
	replaceable := f.Window > 0 || f.LoadTime > 0
	tags := stampEnd
	if replaceable {
		tags = renewalEnd
	}
	size := tags + 2 + len(f.Payload)
	for _, tag := range f.Tags {
		size += 2 + len(tag)
	}
	b := make([]byte, tags, size)
	b[0], b[1] = kindValue, wireVersion
	if f.NotFound {
		b[2] |= flagNotFound
	}
	if replaceable {
		b[2] |= flagReplaceable
		binary.BigEndian.PutUint64(b[stampEnd:], uint64(millisOrNone(f.Window)))
		binary.BigEndian.PutUint64(b[windowEnd:], uint64(max(f.LoadTime, 0)))
	}
	binary.BigEndian.PutUint64(b[4:], uint64(deadline))
	binary.BigEndian.PutUint64(b[12:], uint64(millis(f.TTL)))
	binary.BigEndian.PutUint64(b[24:], f.Stamp.Time)
	binary.BigEndian.PutUint64(b[32:], f.Stamp.Seq)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.Tags)))
	for _, tag := range f.Tags {
		b = binary.BigEndian.AppendUint16(b, uint16(len(tag)))
		b = append(b, tag...)
	}
	b = append(b, f.Payload...)
	binary.BigEndian.PutUint32(b[20:], checksum(key, b))
	return b
}

// checksum returns the CRC-32C of the key and of the record without its checksum, and without
// the lease beside the value, which comes and goes.
func checksum(key string, b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(key))
	sum = crc32.Update(sum, castagnoli, b[:20])
	if replaceable(b) {
		sum = crc32.Update(sum, castagnoli, b[headerSize:renewalStart])
		return crc32.Update(sum, castagnoli, b[renewalEnd:])
	}
	return crc32.Update(sum, castagnoli, b[headerSize:])
}

// replaceable reports whether b is a value with a place for a lease, as far as its first bytes
// show.
func replaceable(b []byte) bool {
	return len(b) >= renewalEnd && b[0] == kindValue && b[1] == wireVersion && b[2]&flagReplaceable != 0
}

// versionOf returns the bytes that a lease script compares: the length of a record, and its
// first bytes. No two values have the same version: the first bytes of a value have its
// deadline in milliseconds, its TTL, its stamp, and a checksum of the whole record. A
// foreign record that changed only behind its first bytes is as unusable as before. So the
// script replaces the record that its caller has read, without reading or receiving all of
// the record. The lease beside a value is no part of the version.
func versionOf(b []byte) []byte {
	const digits = 20 // of a length, and a colon
	version := strconv.AppendInt(make([]byte, 0, digits+versionHead), int64(len(b)), 10)
	head := min(len(b), versionHead)
	if replaceable(b) {
		head = renewalStart
	}
	return append(append(version, ':'), b[:head]...)
}

// decodeRecord decodes b, which was read under key with left of its TTL. The payload of the
// result is part of b.
func decodeRecord(key string, b []byte, left time.Duration) remote.Record {
	rec := remote.Record{Left: left, Version: versionOf(b)}
	if left == noTTL {
		return corrupt(rec, errNoTTL)
	}
	if len(b) < 2 || b[1] == 0 || b[1] > maxVersion {
		return corrupt(rec, errForeign)
	}
	switch {
	case b[0] == kindTombstone && (b[1] != wireVersion || isTombstone(b)):
		rec.State = remote.StateTombstone
	case b[0] == kindLease && (len(b) == leaseSize || b[1] != wireVersion):
		rec.State = remote.StateLease
	case b[0] == kindValue && b[1] != wireVersion:
		return corrupt(rec, fmt.Errorf("%w: %d", errVersion, b[1]))
	case b[0] == kindValue:
		return decodeValue(key, b, rec)
	default:
		return corrupt(rec, errForeign)
	}
	return rec
}

// isTombstone reports whether b has as many tokens as its count states. A flipped bit can
// turn the first byte of a value into that of a tombstone. The count of such a record is its
// flags, and the length of a value matches none of them.
func isTombstone(b []byte) bool {
	return len(b) >= tokensOffset && len(b) == tokensOffset+tokenSize*int(b[2])
}

func decodeValue(key string, b []byte, rec remote.Record) remote.Record {
	tagsStart := stampEnd
	if replaceable(b) {
		tagsStart = renewalEnd
	}
	if len(b) < tagsStart+2 {
		return corrupt(rec, errForeign)
	}
	if binary.BigEndian.Uint32(b[20:]) != checksum(key, b) {
		return corrupt(rec, errChecksum)
	}
	ttl := binary.BigEndian.Uint64(b[12:])
	tags, payload, ok := decodeTags(b[tagsStart:])
	if !ok || b[2]&^(flagNotFound|flagReplaceable) != 0 || b[3] != 0 || ttl == 0 || ttl > uint64(maxMillis) {
		return corrupt(rec, errForeign)
	}
	if b[2]&flagReplaceable != 0 && tagsStart != renewalEnd { // too short
		return corrupt(rec, errForeign)
	}
	if tagsStart == renewalEnd {
		window, load := binary.BigEndian.Uint64(b[stampEnd:]), binary.BigEndian.Uint64(b[windowEnd:])
		if window == 0 && load == 0 || window > uint64(maxMillis) || load > math.MaxInt64 {
			return corrupt(rec, errForeign)
		}
		rec.Window, rec.LoadTime = fromMillis(int64(window)), time.Duration(load)
		rec.Left -= rec.Window
	}
	rec.State = remote.StateValue
	rec.NotFound = b[2]&flagNotFound != 0
	rec.TTL = fromMillis(int64(ttl))
	rec.Stamp = remote.Position{Time: binary.BigEndian.Uint64(b[24:]), Seq: binary.BigEndian.Uint64(b[32:])}
	rec.Tags, rec.Payload = tags, payload
	return rec
}

// decodeTags returns the tags at the beginning of b, and the bytes behind the tags.
func decodeTags(b []byte) (tags []string, rest []byte, ok bool) {
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; n > remote.MaxTags {
		return nil, nil, false
	}
	for range n {
		if len(b) < 2 {
			return nil, nil, false
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size == 0 || size > remote.MaxTagLength || size > len(b) {
			return nil, nil, false
		}
		tags = append(tags, string(b[:size]))
		b = b[size:]
	}
	return tags, b, true
}

func corrupt(rec remote.Record, reason error) remote.Record {
	rec.State, rec.Reason = remote.StateCorrupt, reason
	return rec
}

// noTTL and noKey are the durations by which go-redis returns -1 and -2 of PTTL.
const (
	noTTL = time.Duration(-1)
	noKey = time.Duration(-2)
)

// maxMillis is the longest time.Duration in milliseconds.
const maxMillis = int64(math.MaxInt64 / time.Millisecond)

// fromMillis returns the duration of ms milliseconds, at most the longest duration: bytes
// that are not a record of this library may have any TTL.
func fromMillis(ms int64) time.Duration {
	return time.Duration(min(ms, maxMillis)) * time.Millisecond
}

// millis returns d in milliseconds as Redis takes a duration: at least 1, and at most the
// number that fromMillis turns back into a duration.
func millis(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 && ms < maxMillis {
		ms++
	}
	return min(max(ms, 1), maxMillis)
}
