package compress_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/codec/compress"
)

func newCache(t *testing.T, s *cachetest.Server, c cache.Codec[[]byte]) *cache.Cache[string, []byte] {
	t.Helper()
	near, err := cache.New(cache.Options[string, []byte]{Name: "pages", TTL: time.Minute, Remote: s.Remote(), Codec: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := near.Close(); err != nil {
			t.Error(err)
		}
	})
	return near
}

func mustGet(t *testing.T, near *cache.Cache[string, []byte], key string, load, want []byte) {
	t.Helper()
	got, err := near.GetOrLoad(t.Context(), key, func(context.Context, string) ([]byte, error) { return load, nil })
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("GetOrLoad(%q) = %d bytes, %v, want %d bytes", key, len(got), err, len(want))
	}
}

// TestInstancesShareCompressedValues: also instances with another algorithm. What an instance
// cannot expand is loaded again.
func TestInstancesShareCompressedValues(t *testing.T) {
	s := cachetest.NewServer()
	s.Budget = time.Minute // this test runs on the machine's clock
	codecs := algorithms(t, compress.Options{MaxSize: 1 << 20})
	zstandard, s2 := newCache(t, s, codecs["Zstd"]), newCache(t, s, codecs["S2"])
	value := bytes.Repeat([]byte("a rose is "), 5000)
	if err := zstandard.Set(t.Context(), "k", value); err != nil {
		t.Fatal(err)
	}
	mustGet(t, s2, "k", []byte("loaded again"), value)

	unlimited := newCache(t, s, cache.Bytes{})
	for name, bomb := range bombs(t, 16<<20) {
		if err := unlimited.Set(t.Context(), name, bomb); err != nil {
			t.Fatal(err)
		}
		mustGet(t, s2, name, value, value)
		if got := s2.Stats().CorruptRecords; got != 1 {
			t.Errorf("%s: %d corrupt records were counted, want 1", name, got)
		}
		if err := s2.Close(); err != nil { // after its fills
			t.Fatal(err)
		}
		mustGet(t, zstandard, name, []byte("loaded again"), value)
		s2 = newCache(t, s, codecs["S2"])
	}
	if got := zstandard.Stats().CorruptRecords; got != 0 {
		t.Errorf("%d records were not replaced", got)
	}
}
