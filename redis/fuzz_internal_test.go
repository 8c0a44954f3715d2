package redis

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// FuzzDecodeEntry reads arbitrary bytes as an entry of the log: nothing panics, and what
// is decoded encodes to the same.
func FuzzDecodeEntry(f *testing.F) {
	for _, names := range [][]string{nil, {""}, {"users:0:42"}, {"users::tag", "users::", "a\x00b"}} {
		entry, _ := newEntry(newOrigin(), false, names).encode()
		f.Add(entry)
		f.Add(entry[:len(entry)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		again, rest := e.encode()
		e2, err := decodeEntry(again)
		if err != nil || e2.from != e.from || e2.nonce != e.nonce || e2.replaced != e.replaced || (len(rest) == 0 && !slices.Equal(e.names, e2.names)) {
			t.Errorf("%+v became %+v, %v", e, e2, err)
		}
	})
}

// FuzzDecodeRecord reads arbitrary bytes, as they are and with the checksum that
// they should have: nothing panics, and a value is one that this library could
// have written.
func FuzzDecodeRecord(f *testing.F) {
	notFound := encodeValue(testKey, remote.Fill{NotFound: true, TTL: time.Second}, 1)
	f.Add(testKey, someValue(), int64(time.Minute))
	f.Add(testKey, notFound, int64(time.Second))
	tagged := encodeValue(testKey, remote.Fill{Payload: []byte("v"), TTL: time.Second, Tags: []string{"a", "bc"}}, 1)
	f.Add(testKey, tagged, int64(time.Second))
	f.Add(testKey, someWindowed(), int64(time.Minute))
	for _, n := range []int{stampEnd + 2, windowEnd, windowEnd + 6, renewalEnd - 1} {
		f.Add(testKey, someWindowed()[:n], int64(time.Minute))
	}
	f.Add("", someValue(), int64(time.Minute))
	f.Add(testKey, someValue()[:headerSize], int64(noTTL))
	f.Add(testKey, []byte("L\x02sixteen bytes..."), int64(time.Second))
	f.Add(testKey, []byte("L\x03"), int64(time.Second))
	f.Add(testKey, []byte("T\x02\x00"), int64(time.Second))
	f.Add(testKey, []byte("T\x1f of a later release"), int64(-1))
	f.Add(testKey, []byte{}, int64(0))
	f.Add(testKey, bytes.Repeat([]byte{0xff}, 40), int64(time.Hour))
	f.Fuzz(func(t *testing.T, key string, b []byte, left int64) {
		checkDecoded(t, key, b, time.Duration(left))
		if len(b) >= headerSize {
			b = bytes.Clone(b) // the input is not ours to change
			binary.BigEndian.PutUint32(b[20:], checksum(key, b))
			checkDecoded(t, key, b, time.Duration(left))
		}
	})
}

func checkDecoded(t *testing.T, key string, b []byte, left time.Duration) {
	t.Helper()
	rec := decodeRecord(key, b, left)
	if (rec.Reason != nil) != (rec.State == remote.StateCorrupt) {
		t.Errorf("%v with the reason %v", rec.State, rec.Reason)
	}
	if !bytes.Equal(rec.Version, versionOf(b)) || rec.Left != left-rec.Window {
		t.Errorf("version %q with %v left, want that of %x with %v", rec.Version, rec.Left, b, left-rec.Window)
	}
	switch rec.State {
	case remote.StateAbsent:
		t.Error("a record that was read is said to be absent")
	case remote.StateValue:
		fill := remote.Fill{Payload: rec.Payload, NotFound: rec.NotFound, TTL: rec.TTL, Window: rec.Window, LoadTime: rec.LoadTime, Stamp: rec.Stamp, Tags: rec.Tags}
		deadline := int64(binary.BigEndian.Uint64(b[4:]))
		again := encodeValue(key, fill, deadline)
		if replaceable(b) { // the lease is no part of the value
			copy(again[renewalStart:renewalEnd], b[renewalStart:renewalEnd])
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %+v, which encodes to %x", b, rec, again)
		}
	case remote.StateLease, remote.StateTombstone, remote.StateCorrupt:
		if rec.Payload != nil || rec.NotFound || rec.TTL != 0 || rec.Window != 0 || rec.Tags != nil {
			t.Errorf("%v with the contents of a value: %+v", rec.State, rec)
		}
	}
}
