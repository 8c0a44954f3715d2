package cache_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// brittle is a codec that fails as it is told to.
type brittle struct {
	cache.JSON[string]
	encode, decode func()
	err            error
}

func (b brittle) Encode(v string) ([]byte, error) {
	if b.encode != nil {
		b.encode()
		return []byte("half a val"), b.err
	}
	return b.JSON.Encode(v)
}

func (b brittle) Decode(data []byte) (string, error) {
	if b.decode != nil {
		b.decode()
		return "half a val", b.err
	}
	return b.JSON.Decode(data)
}

func fails()  {}
func panics() { panic("boom") }

func TestValueThatDoesNotEncode(t *testing.T) {
	for name, encode := range map[string]func(){"fails": fails, "panics": panics} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, _ := pair(t)
				o := options(a.remote)
				o.Codec = brittle{encode: encode, err: errors.New("no")}
				var fills []cache.FillInfo
				o.Trace = &cache.Trace{Fill: func(_ ctx, i cache.FillInfo) { fills = append(fills, i) }}
				var log strings.Builder
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				c := a.replace(t, o)
				wantLoad(t, c, "k", constant("v"), "v")
				if s.Len() != 0 || c.Stats().LocalEntries != 0 || c.Stats().EncodeErrors != 1 {
					t.Fatalf("%d records, stats: %+v", s.Len(), c.Stats())
				}
				if len(fills) != 1 || fills[0].Outcome != cache.FillFailed || fills[0].Err == nil || fills[0].Key != "k" {
					t.Fatalf("fills: %+v", fills)
				}
				if err := c.Set(t.Context(), "k", "v"); err == nil {
					t.Fatal("Set: no error")
				}
				wantLoad(t, c, "k", constant("w"), "w")
				if n := strings.Count(log.String(), "\n"); n != 1 || c.Stats().EncodeErrors != 3 {
					t.Errorf("%d lines of %d errors, want one of 3", n, c.Stats().EncodeErrors)
				}
			})
		})
	}
}

func TestRecordThatDoesNotDecodeIsRepaired(t *testing.T) {
	for name, decode := range map[string]func(){"fails": fails, "panics": panics} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				wantLoad(t, b, "k", constant("unreadable"), "unreadable")
				o := options(a.remote)
				o.Codec = brittle{decode: decode, err: errors.New("no")}
				c := a.replace(t, o)
				wantMiss(t, c, "k")
				wantLoad(t, c, "k", constant("new"), "new")
				wantLoad(t, c, "k", loading(t), "new")
				if s := c.Stats(); s.CorruptRecords != 2 || s.Fills != 1 {
					t.Fatalf("stats: %+v", s)
				}
				wantGet(t, b.replace(t, options(b.remote)), "k", "new")
			})
		})
	}
}

func TestCorruptRecordIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		s.Corrupt(remoteKey("k"))
		wantMiss(t, a, "k")
		wantLoad(t, a, "k", constant("v"), "v")
		wantGet(t, b, "k", "v")
		if st := a.Stats(); st.CorruptRecords != 2 || st.RemoteErrors != 0 {
			t.Fatalf("stats: %+v", st)
		}
	})
}

func TestBytesAreKeptAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		o := cache.Options[string, []byte]{Name: "bytes", TTL: time.Minute, Codec: cache.Bytes{}, Remote: a.remote}
		raw := []byte("\x00raw\xff{")
		load := func(ctx, string) ([]byte, error) { return raw, nil }
		if _, err := newCache(t, o).GetOrLoad(t.Context(), "k", load); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the fill
		o.Remote = b.remote
		if v, err := newCache(t, o).Get(t.Context(), "k"); err != nil || !bytes.Equal(v, raw) {
			t.Fatalf("Get: %q, %v", v, err)
		}
	})
}

func TestNamesAndSchemasKeepApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		name, schema := options(a.remote), options(b.remote)
		name.Name, schema.Schema = "another", 1
		wantLoad(t, a, "k", constant("base"), "base")
		wantLoad(t, newCache(t, name), "k", constant("name"), "name")
		wantLoad(t, b.replace(t, schema), "k", constant("schema"), "schema")
		wantGet(t, newInstance(t, s), "k", "base")
	})
}
