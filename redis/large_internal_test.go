package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	hugeRecord = 20_000_000
	hugeKey    = "nearside:k"
)

// putValue stores the record of a value at hugeKey, of which size bytes are payload that
// only Redis writes: no client sends them, so that they count in no buffer.
func putValue(t *testing.T, server *redistest.Server, size int) {
	t.Helper()
	fill := remote.Fill{Payload: []byte("v"), TTL: 2 * time.Hour, MaxAge: 10 * time.Hour}
	record := encodeValue(hugeKey, fill, time.Now().Add(10*time.Hour).UnixMilli())
	putRecord(t, server, string(record), size)
}

func putRecord(t *testing.T, server *redistest.Server, record string, size int) {
	t.Helper()
	pipe := server.Client().TxPipeline()
	pipe.Set(t.Context(), hugeKey, record, time.Hour)
	pipe.SetRange(t.Context(), hugeKey, int64(len(record)+size), "x")
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// openPatient returns a Store with a long budget.
func openPatient(t *testing.T, server *redistest.Server) *Store {
	t.Helper()
	s, err := Open(server.URL(), Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// onLarge are the steps that a value stands in the way of, or is replaced in. Each gets
// the version of the record that stands.
var onLarge = map[string]func(context.Context, *Store, []byte) error{
	"Invalidate": func(ctx context.Context, s *Store, _ []byte) error { return s.Invalidate(ctx, []string{"k"}, 0) },
	"Invalidate with a hold": func(ctx context.Context, s *Store, _ []byte) error {
		return s.Invalidate(ctx, []string{"k"}, time.Minute)
	},
	"Touch": func(ctx context.Context, s *Store, _ []byte) error {
		_, err := s.Touch(ctx, "k")
		return err
	},
	"Guard": func(ctx context.Context, s *Store, _ []byte) error {
		return s.Guard(ctx, remote.Token{1}, []string{"k"}, time.Minute)
	},
	"Unguard": func(ctx context.Context, s *Store, _ []byte) error {
		return s.Unguard(ctx, remote.Token{1}, []string{"k"}, 0)
	},
	"Seize": func(ctx context.Context, s *Store, _ []byte) error {
		l, err := s.Seize(ctx, "k", time.Minute)
		if l == nil && err == nil {
			err = fmt.Errorf("no lease")
		}
		return err
	},
	"Lease instead of an unusable record": func(ctx context.Context, s *Store, version []byte) error {
		l, rec, err := s.Lease(ctx, "k", time.Minute, version)
		if l == nil && err == nil {
			err = fmt.Errorf("no lease: %v stands", rec.State)
		}
		return err
	},
	"renewal of a lost lease": func(ctx context.Context, s *Store, _ []byte) error {
		n, err := s.evalInt(ctx, renewScript, hugeKey, newLease(), 1000)
		return wantZero(n, err)
	},
	"release of a lost lease": func(ctx context.Context, s *Store, _ []byte) error {
		n, err := s.evalInt(ctx, releaseScript, hugeKey, newLease())
		return wantZero(n, err)
	},
	"fill of a lost lease": func(ctx context.Context, s *Store, _ []byte) error {
		held, _, err := s.evalList(ctx, fillScript, hugeKey, newLease(), "V", 1000, time.Now().Add(time.Hour).UnixMilli())
		if held {
			err = fmt.Errorf("a lost lease was filled")
		}
		return err
	},
	"a tag's position": func(ctx context.Context, s *Store, _ []byte) error {
		_, err := s.evalInt(ctx, tagScript, hugeKey, "1-1", 1000, "7-7")
		return err
	},
}

func wantZero(n int64, err error) error {
	if n != 0 {
		return fmt.Errorf("the script replied %d, want 0", n)
	}
	return err
}

// peak is the most memory that the server has ever used.
func peak(t *testing.T, server *redistest.Server) int {
	t.Helper()
	n, err := strconv.Atoi(field(server.Client().Info(t.Context(), "memory").Val(), "used_memory_peak"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// field returns what INFO says behind a name and a colon.
func field(info, name string) string {
	_, rest, _ := strings.Cut(info, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	return value
}

// A script that reads a value makes Redis copy it, which the peak of its memory shows.
func TestNoScriptReadsALargeValue(t *testing.T) {
	t.Parallel()
	for what, do := range onLarge {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := openPatient(t, server)
			putValue(t, server, 100)
			if err := do(t.Context(), s, currentVersion(t, server)); err != nil { // the script is known from here on
				t.Fatal(err)
			}
			putValue(t, server, hugeRecord)
			version, before := currentVersion(t, server), peak(t, server)
			if err := do(t.Context(), s, version); err != nil {
				t.Fatal(err)
			}
			if grown := peak(t, server) - before; grown > hugeRecord/10 {
				t.Errorf("the server took %d bytes more", grown)
			}
		})
	}
	t.Run("a script that does", func(t *testing.T) { // or the others say nothing
		t.Parallel()
		server := redistest.Start(t)
		putValue(t, server, hugeRecord)
		before := peak(t, server)
		script := goredis.NewScript("return #redis.call('GET', KEYS[1])")
		if err := script.Eval(t.Context(), server.Client(), []string{hugeKey}).Err(); err != nil {
			t.Fatal(err)
		}
		if grown := peak(t, server) - before; grown < hugeRecord {
			t.Errorf("the server took %d bytes more, to read %d", grown, hugeRecord)
		}
	})
}

// currentVersion is the version of what stands at hugeKey, without reading it.
func currentVersion(t *testing.T, server *redistest.Server) []byte {
	t.Helper()
	size := server.Client().StrLen(t.Context(), hugeKey).Val()
	start := server.Client().GetRange(t.Context(), hugeKey, 0, versionHead-1).Val()
	return []byte(strconv.FormatInt(size, 10) + ":" + start)
}

// The version of a record that was read is what the script compares.
func TestALargeUnusableRecordIsReplaced(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openPatient(t, server)
	for _, record := range []string{"{json}", strings.Repeat("garbage ", 10), "T\x02\x01", "V\x02 and more", "L\x02"} {
		for _, size := range []int{0, 100, 100_000} {
			putRecord(t, server, record, size)
			rec, err := s.Get(t.Context(), "k", false)
			if err != nil || rec.State != remote.StateCorrupt {
				t.Fatalf("%q: %v, %v", record, rec.State, err)
			}
			if len(rec.Version) > versionHead+10 {
				t.Errorf("the version of a record of %d bytes has %d", len(record)+size+1, len(rec.Version))
			}
			for what, version := range map[string][]byte{"none": nil, "another": append([]byte("1"), rec.Version...)} {
				if l, stands, err := s.Lease(t.Context(), "k", time.Minute, version); l != nil || err != nil || string(stands.Version) != string(rec.Version) {
					t.Errorf("%q was replaced by version %s: %v, %v", record, what, l, err)
				}
			}
			l, _, err := s.Lease(t.Context(), "k", time.Minute, rec.Version)
			if l == nil || err != nil {
				t.Fatalf("%q was not replaced: %v", record, err)
			}
			if _, err := l.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// costs are what the table of costs shows. The commands alone show what is not the
// scripts': to free the memory of a string, which Redis does at once, by UNLINK too.
var costs = []struct {
	what string
	do   func(context.Context, *Store, []byte) error
}{
	{"Invalidate", onLarge["Invalidate"]},
	{"Touch", onLarge["Touch"]},
	{"Guard", onLarge["Guard"]},
	{"Seize", onLarge["Seize"]},
	{"DEL", func(ctx context.Context, s *Store, _ []byte) error { return s.client.Del(ctx, hugeKey).Err() }},
	{"UNLINK", func(ctx context.Context, s *Store, _ []byte) error { return s.client.Unlink(ctx, hugeKey).Err() }},
	{"EVAL of a GET", func(ctx context.Context, s *Store, _ []byte) error {
		return s.client.Eval(ctx, "return #redis.call('GET', KEYS[1])", []string{hugeKey}).Err()
	}},
}

// TestWhatAnInvalidationOfALargeValueCosts shows the server's microseconds for each call:
//
//	go test ./redis -run TestWhatAnInvalidationOfALargeValueCosts -v
func TestWhatAnInvalidationOfALargeValueCosts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openPatient(t, server)
	const calls = 20
	table := fmt.Sprintf("\n%-14s %8s %8s %8s  (the server's microseconds for each call)\n", "", "100 B", "1 MB", "20 MB")
	for _, c := range costs {
		table += fmt.Sprintf("%-14s", c.what)
		for _, size := range []int{100, 1_000_000, hugeRecord} {
			var spent float64
			for range calls {
				putValue(t, server, size)
				server.ResetCommands()
				if err := c.do(t.Context(), s, nil); err != nil {
					t.Fatal(err)
				}
				spent += microseconds(t, server)
				del := server.Client().Del(t.Context(), hugeKey) // a tombstone would keep Seize out
				if err := del.Err(); err != nil {
					t.Fatal(err)
				}
			}
			table += fmt.Sprintf(" %8.0f", spent/calls)
		}
		table += "\n"
	}
	t.Log(table)
}

// microseconds is what the server has spent since ResetCommands on scripts, or else on
// commands that delete.
func microseconds(t *testing.T, server *redistest.Server) (sum float64) {
	t.Helper()
	info := server.Client().Info(t.Context(), "commandstats").Val()
	for _, name := range []string{"eval", "evalsha", "del", "unlink"} {
		if sum > 0 && (name == "del" || name == "unlink") {
			break // the script called it
		}
		_, stats, _ := strings.Cut(field(info, "cmdstat_"+name), "usec=")
		usec, _, _ := strings.Cut(stats, ",")
		if usec != "" {
			n, err := strconv.ParseFloat(usec, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// What stands at a key may have any TTL, if another program wrote it.
func TestATTLLongerThanAnyDuration(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openPatient(t, server)
	const ttl = 9_000_000_000_000_000_000 // ms
	record := []byte("V\x02\x00\x00")
	record = binary.BigEndian.AppendUint64(record, ttl) // the deadline
	record = binary.BigEndian.AppendUint64(record, ttl)
	putRecord(t, server, string(record), 100)
	if left, err := s.Touch(t.Context(), "k"); err != nil || left < 1_000_000*time.Hour {
		t.Errorf("Touch: %v, %v", left, err)
	}
	l, stands, err := s.Lease(t.Context(), "k", time.Minute, nil)
	if l != nil || err != nil || stands.Left < 1_000_000*time.Hour {
		t.Errorf("Lease: %v, %v is left, %v", stands.State, stands.Left, err)
	}
}
