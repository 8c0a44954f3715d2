package redis

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// FuzzDecodeRecord reads arbitrary bytes, as they are and with the checksum that
// they should have: nothing panics, and a value is one that this library could
// have written.
func FuzzDecodeRecord(f *testing.F) {
	notFound := encodeValue(testKey, cache.Fill{NotFound: true, TTL: time.Second}, 1)
	f.Add(testKey, someValue(), int64(time.Minute))
	f.Add(testKey, notFound, int64(time.Second))
	f.Add("", someValue(), int64(time.Minute))
	f.Add(testKey, someValue()[:headerSize], int64(noTTL))
	f.Add(testKey, []byte("L\x01sixteen bytes..."), int64(time.Second))
	f.Add(testKey, []byte("L\x02"), int64(time.Second))
	f.Add(testKey, []byte("T\x01"), int64(time.Second))
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
	if (rec.Reason != nil) != (rec.State == cache.StateCorrupt) {
		t.Errorf("%v with the reason %v", rec.State, rec.Reason)
	}
	if !bytes.Equal(rec.Version, b) || rec.Left != left {
		t.Errorf("version %x with %v left, want %x with %v", rec.Version, rec.Left, b, left)
	}
	switch rec.State {
	case cache.StateAbsent:
		t.Error("a record that was read is said to be absent")
	case cache.StateValue:
		fill := cache.Fill{Payload: rec.Payload, NotFound: rec.NotFound, TTL: rec.TTL}
		deadline := int64(binary.BigEndian.Uint64(b[4:]))
		if again := encodeValue(key, fill, deadline); !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %+v, which encodes to %x", b, rec, again)
		}
	case cache.StateLease, cache.StateTombstone, cache.StateCorrupt:
		if rec.Payload != nil || rec.NotFound || rec.TTL != 0 {
			t.Errorf("%v with the contents of a value: %+v", rec.State, rec)
		}
	}
}
