package redis

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
)

const testKey = "nearside:users:0:42"

// randomFill is any fill that the cache may ask for, and its deadline.
func randomFill(r *rand.Rand) (remote.Fill, int64) {
	f := remote.Fill{
		NotFound: r.IntN(4) == 0,
		TTL:      time.Duration(1+r.Int64N(math.MaxInt64/int64(time.Millisecond)-1)) * time.Millisecond,
	}
	for range r.IntN(4) {
		f.Tags = append(f.Tags, string(rune('a'+r.IntN(26)))+string(make([]byte, r.IntN(cache.MaxTagLength-3))))
	}
	if r.IntN(2) == 0 {
		f.Window = time.Duration(1+r.Int64N(int64(1000*time.Hour/time.Millisecond))) * time.Millisecond
	}
	f.Stamp = remote.Position{Time: r.Uint64(), Seq: r.Uint64()}
	if !f.NotFound {
		f.Payload = make([]byte, r.IntN(300))
		for i := range f.Payload {
			f.Payload[i] = byte(r.Uint32())
		}
	}
	return f, r.Int64()
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 10_000 {
		f, deadline := randomFill(r)
		left := time.Duration(r.Int64N(int64(time.Hour)))
		b := encodeValue(testKey, f, deadline)
		rec := decodeRecord(testKey, b, left)
		if rec.State != remote.StateValue || rec.Reason != nil || rec.NotFound != f.NotFound ||
			rec.TTL != f.TTL || rec.Left != left-f.Window || rec.Window != f.Window || !bytes.Equal(rec.Payload, f.Payload) || rec.Stamp != f.Stamp || !slices.Equal(rec.Tags, f.Tags) || !bytes.Equal(rec.Version, versionOf(b)) {
			t.Fatalf("seed %d: %+v became %x, and that %+v", seed, f, b, rec)
		}
	}
}

func wantCorrupt(t *testing.T, key string, b []byte, what string) {
	t.Helper()
	rec := decodeRecord(key, b, time.Minute)
	if rec.State != remote.StateCorrupt || rec.Reason == nil || rec.Payload != nil {
		t.Errorf("%s: %v with payload %q, reason %v; want corrupt", what, rec.State, rec.Payload, rec.Reason)
	}
	if !bytes.Equal(rec.Version, versionOf(b)) {
		t.Errorf("%s: the version is %q, want that of %x", what, rec.Version, b)
	}
}

func someValue() []byte {
	return encodeValue(testKey, remote.Fill{Payload: []byte(`{"id":42}`), TTL: time.Minute}, 1_700_000_000_000)
}

// someWindowed is a value with a window, and with a lease.
func someWindowed() []byte {
	b := encodeValue(testKey, remote.Fill{Payload: []byte(`{"id":42}`), TTL: time.Minute, Window: time.Hour, LoadTime: time.Millisecond}, 1_700_000_000_000)
	copy(b[renewalStart:renewalEnd], "sixteen byte id.8 bytes.")
	return b
}

func TestATruncatedRecordIsCorrupt(t *testing.T) {
	for _, whole := range [][]byte{someValue(), someWindowed(), newLease()} {
		for n := range len(whole) {
			wantCorrupt(t, testKey, whole[:n:n], "truncated")
		}
		wantCorrupt(t, testKey, append(whole[:len(whole):len(whole)], 0), "prolonged")
	}
}

// V and T differ in one bit, and a tombstone has no checksum: it is its length that
// tells a value with that bit flipped from a tombstone.
func TestAValueWithAFlippedBitIsCorrupt(t *testing.T) {
	for _, whole := range [][]byte{someValue(), someWindowed()} {
		checkFlips(t, whole)
	}
}

func checkFlips(t *testing.T, whole []byte) {
	t.Helper()
	for i := range 8 * len(whole) {
		if replaceable(whole) && i/8 >= renewalStart && i/8 < renewalEnd {
			continue // of its lease, which comes and goes
		}
		b := bytes.Clone(whole)
		b[i/8] ^= 1 << (i % 8)
		if rec := decodeRecord(testKey, b, time.Minute); rec.State != remote.StateCorrupt {
			t.Errorf("bit %d of byte %d flipped: %v, want corrupt", i%8, i/8, rec.State)
		}
	}
}

func TestAValueOfAnotherKeyIsCorrupt(t *testing.T) {
	for _, key := range []string{"", "nearside:users:0:43", "nearside:users:1:42", testKey + "V", testKey[1:]} {
		wantCorrupt(t, key, someValue(), "read under another key")
	}
}

func TestARecordWithoutATTLIsCorrupt(t *testing.T) {
	for _, b := range [][]byte{someValue(), newLease(), []byte("T\x02\x01sixteen byte id.")} {
		if rec := decodeRecord(testKey, b, noTTL); rec.State != remote.StateCorrupt {
			t.Errorf("%q without a TTL: %v, want corrupt", b[0], rec.State)
		}
	}
}

// Two releases that share a Redis must heed each other's leases and tombstones,
// whatever they hold, and no release reads the other's values.
func TestRecordsOfOtherVersions(t *testing.T) {
	for version := range 256 {
		lease, value, tomb := newLease(), someValue(), []byte("T\x00\x01sixteen byte id.")
		lease[1], value[1], tomb[1] = byte(version), byte(version), byte(version)
		for _, c := range []struct {
			name   string
			record []byte
			heeded remote.State
		}{
			{"lease", lease, remote.StateLease},
			{"longer lease", append(lease, "more"...), remote.StateLease},
			{"short lease", lease[:2], remote.StateLease},
			{"tombstone", tomb, remote.StateTombstone},
			{"longer tombstone", append(tomb, "more"...), remote.StateTombstone},
			{"short tombstone", tomb[:2], remote.StateTombstone},
			{"value", value, remote.StateCorrupt},
		} {
			want := c.heeded
			if version == 0 || version > 31 {
				want = remote.StateCorrupt
			}
			if version == wireVersion { // whose length and checksum are known
				switch c.name {
				case "longer lease", "short lease", "longer tombstone", "short tombstone":
					want = remote.StateCorrupt
				case "value":
					want = remote.StateValue
				}
			}
			if rec := decodeRecord(testKey, c.record, time.Minute); rec.State != want {
				t.Errorf("%s of version %d: %v, want %v", c.name, version, rec.State, want)
			}
		}
	}
}

func TestForeignBytesAreCorrupt(t *testing.T) {
	for _, s := range []string{"", "V", "L", "T", "\x00", "{}", "corrupt", "v\x01", "OK", "L\x02", "V\x02", "V\x02\x00\x00", "T\x02", "T\x02\x01", "T\x02\x00more"} {
		wantCorrupt(t, testKey, []byte(s), s)
	}
}

// The bytes are in Redis servers out there: a change of these needs another
// version.
func TestTheWireFormatStaysAsItIs(t *testing.T) {
	for _, c := range []struct {
		name   string
		record []byte
		want   string
	}{
		{"value", someValue(), "5602" + "00" + "00" + "0000018bcfe56800" + "000000000000ea60" + "dec8baea" + "0000000000000000" + "0000000000000000" + "0000" + "7b226964223a34327d"},
		{"not found", encodeValue(testKey, remote.Fill{NotFound: true, TTL: 1500 * time.Microsecond}, 1), "5602" + "01" + "00" + "0000000000000001" + "0000000000000002" + "0fdc4a62" + "0000000000000000" + "0000000000000000" + "0000"},
		{"tagged", encodeValue(testKey, remote.Fill{Payload: []byte("v"), TTL: time.Second, Stamp: remote.Position{Time: 3, Seq: 4}, Tags: []string{"a", "bc"}}, 1), "5602" + "00" + "00" + "0000000000000001" + "00000000000003e8" + "b339d2a8" + "0000000000000003" + "0000000000000004" + "0002" + "0001" + "61" + "0002" + "6263" + "76"},
		{"replaceable", someWindowed(), "5602" + "02" + "00" + "0000018bcfe56800" + "000000000000ea60" + "3207d72e" + "0000000000000000" + "0000000000000000" + "000000000036ee80" + "00000000000f4240" + "7369787465656e20627974652069642e" + "382062797465732e" + "0000" + "7b226964223a34327d"},
	} {
		if got := hex.EncodeToString(c.record); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	a, b := newLease(), newLease()
	if len(a) != 18 || a[0] != 'L' || a[1] != 2 || bytes.Equal(a, b) {
		t.Errorf("leases %x and %x: want 4c02 and a token of 16 bytes each, no two the same", a, b)
	}
}

func TestLongTimesAreTheLongest(t *testing.T) {
	for ms, want := range map[int64]time.Duration{
		0: 0, 1: time.Millisecond, maxMillis: time.Duration(maxMillis) * time.Millisecond,
		maxMillis + 1: time.Duration(maxMillis) * time.Millisecond, math.MaxInt64: time.Duration(maxMillis) * time.Millisecond,
	} {
		if got := fromMillis(ms); got != want {
			t.Errorf("%d ms are %v, want %v", ms, got, want)
		}
	}
	for d, want := range map[time.Duration]int64{-1: 1, 0: 1, 1: 1, time.Millisecond + 1: 2, math.MaxInt64: maxMillis} {
		if got := millis(d); got != want {
			t.Errorf("%v are %d ms, want %d", d, got, want)
		}
	}
	b := encodeValue(testKey, remote.Fill{Payload: []byte("v"), TTL: math.MaxInt64}, math.MaxInt64)
	if rec := decodeRecord(testKey, b, time.Minute); rec.State != remote.StateValue {
		t.Errorf("a value with the longest TTL is %v: %v", rec.State, rec.Reason)
	}
}
