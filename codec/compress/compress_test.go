package compress_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/codec/compress"
	"pgregory.net/rapid"
)

type codec = *compress.Codec[[]byte]

// algorithms returns a codec of each algorithm.
func algorithms(t testing.TB, o compress.Options) map[string]codec {
	t.Helper()
	zstandard, err := compress.Zstd(cache.Bytes{}, o)
	if err != nil {
		t.Fatal(err)
	}
	s2, err := compress.S2(cache.Bytes{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]codec{"Zstd": zstandard, "S2": s2}
}

func each(t *testing.T, o compress.Options, test func(t *testing.T, c codec)) {
	for name, c := range algorithms(t, o) {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func mustEncode(t *testing.T, c codec, data []byte) []byte {
	t.Helper()
	encoded, err := c.Encode(data)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func noise(size int) []byte {
	data := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	return data
}

func TestWhatIsEncodedIsDecodedByEitherAlgorithm(t *testing.T) {
	codecs := algorithms(t, compress.Options{Threshold: 10})
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "part")
		data := bytes.Repeat(part, rapid.IntRange(0, 50).Draw(t, "times"))
		for by, c := range codecs {
			encoded, err := c.Encode(data)
			if err != nil {
				t.Fatal(err)
			}
			for of, other := range codecs {
				if got, err := other.Decode(encoded); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%s of %s: %q, %v, want %q", of, by, got, err, data)
				}
			}
		}
	})
}

func TestOnlyPayloadsFromTheThresholdOnAreCompressed(t *testing.T) {
	each(t, compress.Options{Threshold: 100}, func(t *testing.T, c codec) {
		if got := mustEncode(t, c, make([]byte, 99)); len(got) != 1+99 {
			t.Errorf("99 bytes are encoded in %d", len(got))
		}
		if got := mustEncode(t, c, make([]byte, 100)); len(got) > 50 {
			t.Errorf("100 bytes are encoded in %d", len(got))
		}
	})
	each(t, compress.Options{}, func(t *testing.T, c codec) {
		if got := mustEncode(t, c, make([]byte, compress.DefaultThreshold-1)); len(got) != compress.DefaultThreshold {
			t.Errorf("a payload below DefaultThreshold is encoded in %d bytes", len(got))
		}
	})
}

// TestNoiseIsNotCompressed: it would be larger, and cost each reader the time.
func TestNoiseIsNotCompressed(t *testing.T) {
	each(t, compress.Options{}, func(t *testing.T, c codec) {
		data := noise(100_000)
		if got := mustEncode(t, c, data); !bytes.Equal(got[1:], data) {
			t.Errorf("%d bytes of noise are encoded in %d", len(data), len(got))
		}
	})
}

func TestALargePayloadIsNotEncoded(t *testing.T) {
	each(t, compress.Options{MaxSize: 1000}, func(t *testing.T, c codec) {
		if _, err := c.Encode(make([]byte, 1001)); err != compress.ErrTooLarge {
			t.Errorf("err = %v, want ErrTooLarge", err)
		}
		mustEncode(t, c, make([]byte, 1000))
	})
}

// bombs are small payloads that expand to size bytes.
func bombs(t testing.TB, size int) map[string][]byte {
	t.Helper()
	var known, unknown, repeated bytes.Buffer
	write := func(to *bytes.Buffer) {
		w, err := zstd.NewWriter(to)
		if err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 1<<20)
		for left := size; left > 0; left -= len(block) {
			if _, err := w.Write(block[:min(left, len(block))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(&unknown) // a stream does not say how large it is
	for range 4 {
		write(&repeated)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	known.Write(w.EncodeAll(make([]byte, size), nil))
	tag := func(format byte, data []byte) []byte { return append([]byte{format}, data...) }
	return map[string][]byte{
		"zstd with its size":    tag('z', known.Bytes()),
		"zstd without its size": tag('z', unknown.Bytes()),
		"four frames of zstd":   tag('z', repeated.Bytes()),
		"s2":                    tag('s', s2.Encode(nil, make([]byte, size))),
		"the head of s2 alone":  tag('s', s2.Encode(nil, make([]byte, size))[:6]),
	}
}

// TestSmallLimits: what is encoded can be decoded, with any MaxSize.
func TestSmallLimits(t *testing.T) {
	for _, maxSize := range []int{1000, 1023, 1024, 1500, 3000} {
		each(t, compress.Options{Threshold: 1, MaxSize: maxSize}, func(t *testing.T, c codec) {
			for _, size := range []int{1, 100, 999, 1000, 1023, 1024, 1025, 1500, 2047, 2048, 2049, 3000} {
				data := make([]byte, size)
				if size > maxSize {
					continue
				}
				if got, err := c.Decode(mustEncode(t, c, data)); err != nil || len(got) != size {
					t.Errorf("MaxSize %d: %d bytes came back as %d, %v", maxSize, size, len(got), err)
				}
			}
		})
	}
}

// TestADecompressionBombIsRefused, and takes little memory.
func TestADecompressionBombIsRefused(t *testing.T) {
	const size, maxSize = 64 << 20, 1 << 20
	for name, bomb := range bombs(t, size) {
		each(t, compress.Options{MaxSize: maxSize}, func(t *testing.T, c codec) {
			t.Run(name, func(t *testing.T) {
				if len(bomb) > size/1000 {
					t.Fatalf("the bomb has %d bytes", len(bomb))
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := c.Decode(bomb)
				runtime.ReadMemStats(&after)
				if !errors.Is(err, compress.ErrTooLarge) {
					t.Errorf("err = %v, want ErrTooLarge", err)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > 16*maxSize {
					t.Errorf("%d bytes were allocated", took)
				}
			})
		})
	}
}

func TestPayloadsOfMaxSizeAreDecoded(t *testing.T) {
	const size = 1 << 20
	for name, whole := range bombs(t, size) {
		if name != "s2" && name != "zstd with its size" {
			continue // the others are not what a Codec encodes
		}
		each(t, compress.Options{MaxSize: size}, func(t *testing.T, c codec) {
			if got, err := c.Decode(whole); err != nil || len(got) != size {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		})
	}
}

func TestWhatIsNoPayloadDoesNotDecode(t *testing.T) {
	each(t, compress.Options{}, func(t *testing.T, c codec) {
		whole := mustEncode(t, c, make([]byte, 5000))
		for _, data := range [][]byte{nil, {}, {'z'}, {'s'}, {1}, []byte(`{"a":1}`), whole[:len(whole)-1]} {
			if got, err := c.Decode(data); err == nil {
				t.Errorf("%q is decoded to %d bytes", data, len(got))
			}
		}
		if got, err := c.Decode([]byte{0}); err != nil || len(got) != 0 {
			t.Errorf("an empty payload: %q, %v", got, err)
		}
	})
}

type failing struct{ cache.Codec[[]byte] }

var errInner = errors.New("inner")

func (failing) Encode([]byte) ([]byte, error) { return nil, errInner }

func (failing) Decode([]byte) ([]byte, error) { return nil, errInner }

func TestErrorsOfTheOtherCodecAreReturned(t *testing.T) {
	c, err := compress.S2(failing{}, compress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Encode(nil); err != errInner {
		t.Errorf("Encode: %v", err)
	}
	if _, err := c.Decode([]byte{0}); err != errInner {
		t.Errorf("Decode: %v", err)
	}
}

func TestNegativeOptionsAreAnError(t *testing.T) {
	for _, o := range []compress.Options{{Threshold: -1}, {MaxSize: -1}, {MaxSize: math.MinInt}} {
		if _, err := compress.Zstd(cache.Bytes{}, o); err == nil {
			t.Errorf("Zstd takes %+v", o)
		}
		if _, err := compress.S2(cache.Bytes{}, o); err == nil {
			t.Errorf("S2 takes %+v", o)
		}
	}
}

func TestOneCodecServesManyGoroutines(t *testing.T) {
	each(t, compress.Options{Threshold: 1}, func(t *testing.T, c codec) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				data := bytes.Repeat([]byte{byte(i), 7, byte(i + 1)}, 3000)
				for range 200 {
					encoded, err := c.Encode(data)
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := c.Decode(encoded); err != nil || !bytes.Equal(got, data) {
						t.Errorf("got %d other bytes, %v", len(got), err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

// FuzzDecode: no bytes make Decode panic, or return more than MaxSize.
func FuzzDecode(f *testing.F) {
	const maxSize = 1 << 16
	f.Add([]byte(nil))
	f.Add([]byte{0, 1, 2})
	for _, bomb := range bombs(f, 1<<17) {
		f.Add(bomb)
	}
	codecs := algorithms(f, compress.Options{Threshold: 1, MaxSize: maxSize})
	for _, c := range codecs {
		encoded, err := c.Encode(bytes.Repeat([]byte("abcd"), 1000))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, c := range codecs {
			got, err := c.Decode(data)
			if err != nil {
				continue
			}
			if len(got) > maxSize {
				t.Errorf("%s: %d bytes", name, len(got))
			}
			if again, err := c.Decode(mustEncode(t, c, got)); err != nil || !bytes.Equal(again, got) {
				t.Errorf("%s: %q came back as %q, %v", name, got, again, err)
			}
		}
	})
}
