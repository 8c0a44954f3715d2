package redis

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

const (
	entryVersion = 1
	entryField   = "e" // the only field of an entry of the stream
	originSize   = 8
	nonceSize    = 8 // distinguishes entries of one position, when a log was lost and goes on

	// An entry holds as many names as these bounds allow. With the bytes that Redis adds,
	// such an entry has less than 16 KiB. A name that is too long for maxEntryBytes has an
	// entry of its own.
	maxEntryNames = batchSize
	maxEntryBytes = 16_000
)

var (
	errEntry        = errors.New("redis: not a log entry of this library")
	errEntryVersion = errors.New("redis: a log entry of another version")
)

// origin identifies a Store in the entries appended by the Store.
type origin [originSize]byte

func newOrigin() (o origin) {
	rand.Read(o[:])
	return o
}

// encodeEntry returns an entry of names, and the names that did not fit.
func encodeEntry(from origin, names []string) (entry []byte, rest []string) {
	entry = append([]byte{entryVersion}, from[:]...)
	entry = binary.BigEndian.AppendUint64(entry, mrand.Uint64())
	for i, name := range names {
		if i > 0 && (i == maxEntryNames || len(entry)+len(name) > maxEntryBytes) {
			return entry, names[i:]
		}
		entry = binary.AppendUvarint(entry, uint64(len(name)))
		entry = append(entry, name...)
	}
	return entry, nil
}

// decodeEntry returns the origin and the names of an entry made by encodeEntry.
func decodeEntry(b []byte) (from origin, names []string, err error) {
	if len(b) > 0 && b[0] != entryVersion {
		return from, nil, fmt.Errorf("%w: %d", errEntryVersion, b[0])
	}
	if len(b) < 1+originSize+nonceSize {
		return from, nil, errEntry
	}
	copy(from[:], b[1:])
	for b = b[1+originSize+nonceSize:]; len(b) > 0; {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return from, nil, errEntry
		}
		names = append(names, string(b[n:n+int(size)]))
		b = b[n+int(size):]
	}
	return from, names, nil
}

// decodeMessage decodes an entry in the form in which the stream holds the entry.
func decodeMessage(m goredis.XMessage) (at remote.Position, from origin, names []string, err error) {
	at, ok := parsePosition(m.ID)
	text, isText := m.Values[entryField].(string)
	if !ok || !isText || len(m.Values) != 1 {
		return at, from, nil, errEntry
	}
	from, names, err = decodeEntry([]byte(text))
	return at, from, names, err
}

// Positions are IDs of the stream's entries.

func formatPosition(p remote.Position) string {
	return strconv.FormatUint(p.Time, 10) + "-" + strconv.FormatUint(p.Seq, 10)
}

func parsePosition(id string) (p remote.Position, ok bool) {
	time, seq, ok := strings.Cut(id, "-")
	var timeErr, seqErr error
	p.Time, timeErr = strconv.ParseUint(time, 10, 64)
	p.Seq, seqErr = strconv.ParseUint(seq, 10, 64)
	return p, ok && timeErr == nil && seqErr == nil
}
