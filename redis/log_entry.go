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
	entryVersion  = 1
	entryReplaced = 0x80 // added to the version of an entry whose names were replaced
	entryField    = "e"  // the only field of an entry of the stream
	originSize    = 8
	nonceSize     = 8

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

// nonce distinguishes the entries of one origin and one position.
type nonce uint64

// logEntry is an entry of the log, decoded.
type logEntry struct {
	from     origin
	nonce    nonce
	replaced bool // the records of names were replaced, and not invalidated
	names    []string
}

// newEntry returns an entry of names, which may be too many for one.
func newEntry(from origin, replaced bool, names []string) logEntry {
	return logEntry{from, nonce(mrand.Uint64()), replaced, names}
}

// encode returns e with as many names as one entry takes, and the other names.
func (e logEntry) encode() (entry []byte, rest []string) {
	kind := byte(entryVersion)
	if e.replaced {
		kind |= entryReplaced
	}
	entry = append([]byte{kind}, e.from[:]...)
	entry = binary.BigEndian.AppendUint64(entry, uint64(e.nonce))
	for i, name := range e.names {
		if i > 0 && (i == maxEntryNames || len(entry)+len(name) > maxEntryBytes) {
			return entry, e.names[i:]
		}
		entry = binary.AppendUvarint(entry, uint64(len(name)))
		entry = append(entry, name...)
	}
	return entry, nil
}

// decodeEntry decodes an entry made by encode.
func decodeEntry(b []byte) (e logEntry, err error) {
	if len(b) > 0 && b[0]&^entryReplaced != entryVersion {
		return e, fmt.Errorf("%w: %d", errEntryVersion, b[0]&^entryReplaced)
	}
	if len(b) < 1+originSize+nonceSize {
		return e, errEntry
	}
	e.replaced = b[0]&entryReplaced != 0
	copy(e.from[:], b[1:])
	e.nonce = nonce(binary.BigEndian.Uint64(b[1+originSize:]))
	for b = b[1+originSize+nonceSize:]; len(b) > 0; {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return e, errEntry
		}
		e.names = append(e.names, string(b[n:n+int(size)]))
		b = b[n+int(size):]
	}
	return e, nil
}

// decodeMessage decodes an entry in the form in which the stream holds the entry.
func decodeMessage(m goredis.XMessage) (at remote.Position, e logEntry, err error) {
	at, ok := parsePosition(m.ID)
	text, isText := m.Values[entryField].(string)
	if !ok || !isText || len(m.Values) != 1 {
		return at, e, errEntry
	}
	e, err = decodeEntry([]byte(text))
	return at, e, err
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
