package history_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/internal/history"
	"pgregory.net/rapid"
)

// one has a record of each kind, of which the first is all zero.
var one = history.History{
	Reads:       reads{{}, {Instance: 3, Key: "k", Version: 7, Start: 8, End: 9}},
	Commits:     []history.Commit{{Key: "<a&b>\n\"ü", Version: 1, Start: 2, End: 3}},
	Invalidated: invs{{Instance: 1, Key: "k", Version: 1, Start: 4, End: 5}},
	Faults:      cuts{{Kind: "cut", Instance: history.All, Start: -6, End: math.MaxInt64}},
	Rests:       rests{{Tier: "redis", Key: "k", Version: 1, At: 8}},
}

const oneWritten = `{"t":"r"}
{"t":"r","i":3,"k":"k","v":7,"s":8,"e":9}
{"t":"c","k":"<a&b>\n\"ü","v":1,"s":2,"e":3}
{"t":"i","i":1,"k":"k","v":1,"s":4,"e":5}
{"t":"f","i":-1,"n":"cut","s":-6,"e":9223372036854775807}
{"t":"h","n":"redis","k":"k","v":1,"s":8}
`

func TestHistoryIsWrittenAndReadBack(t *testing.T) {
	var b bytes.Buffer
	n, err := one.WriteTo(&b)
	if err != nil || n != int64(len(oneWritten)) {
		t.Errorf("WriteTo = %d, %v; want %d bytes", n, err, len(oneWritten))
	}
	if d := cmp.Diff(oneWritten, b.String()); d != "" {
		t.Errorf("(-want +written):\n%s", d)
	}
	var back history.History
	n, err = back.ReadFrom(&b)
	if err != nil || n != int64(len(oneWritten)) {
		t.Errorf("ReadFrom = %d, %v; want %d bytes", n, err, len(oneWritten))
	}
	if d := cmp.Diff(one, back); d != "" {
		t.Errorf("(-want +read):\n%s", d)
	}
}

func TestHistoryIsSavedAndLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		if err := history.Save(path, h); err != nil {
			t.Fatal(err)
		}
		back, err := history.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(h, back); d != "" {
			t.Errorf("(-saved +loaded):\n%s", d)
		}
	})
}

func TestFilesOfProcessesAreMerged(t *testing.T) {
	var h, want history.History
	for range 2 {
		if _, err := h.ReadFrom(strings.NewReader(oneWritten)); err != nil {
			t.Fatal(err)
		}
	}
	want.Merge(one, one)
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("(-merged +read):\n%s", d)
	}
}

func TestBadFiles(t *testing.T) {
	const good = "{\"t\":\"r\",\"v\":1}\n"
	for _, tt := range []struct {
		name, file string
		cut        bool
		want       string // of the error
	}{
		{"empty", "", false, ""},
		{"without the last newline", `{"t":"r","v":1}`, false, ""},
		{"cut off", good + `{"t":"r","v":1`, true, "history: line 2: unexpected EOF"},
		{"bad line", good + "}\n" + good, false, "history: line 2: invalid character"},
		{"empty line", good + "\n" + good, false, "history: line 2: unexpected end of JSON input"},
		{"unknown tag", good + "{\"t\":\"x\"}\n" + good, false, `history: line 2: unknown tag "x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h history.History
			n, err := h.ReadFrom(strings.NewReader(tt.file))
			if tt.want == "" && (err != nil || n != int64(len(tt.file))) {
				t.Errorf("ReadFrom = %d, %v", n, err)
			}
			if tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) != tt.cut {
				t.Errorf("error %v", err)
			}
			if tt.file != "" && len(h.Reads) != 1 {
				t.Errorf("%d records before the bad line, want 1", len(h.Reads))
			}
		})
	}
}

func TestBadDisks(t *testing.T) {
	if err := history.Save(filepath.Join(t.TempDir(), "no", "such"), one); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Save = %v", err)
	}
	if _, err := history.Load(filepath.Join(t.TempDir(), "no")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load = %v", err)
	}
	r, w := io.Pipe()
	r.Close()
	if _, err := one.WriteTo(w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("WriteTo = %v", err)
	}
	w.CloseWithError(os.ErrDeadlineExceeded)
	r, w = io.Pipe()
	w.CloseWithError(os.ErrDeadlineExceeded)
	if _, err := new(history.History).ReadFrom(r); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ReadFrom = %v", err)
	}
}

// JSON would replace the byte, and two keys could become one.
func TestKeysThatAreNotUTF8AreRefused(t *testing.T) {
	for _, h := range []history.History{
		{Reads: reads{{Key: "\xff"}}}, {Faults: cuts{{Kind: "\xff"}}},
	} {
		if _, err := h.WriteTo(io.Discard); err == nil {
			t.Errorf("%+v was written", h)
		}
	}
}
