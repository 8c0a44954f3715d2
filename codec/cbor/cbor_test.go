package cbor_test

import (
	"bytes"
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/codec/cbor"
	"pgregory.net/rapid"
)

type inner struct {
	Text  string
	Bytes []byte
}

type value struct {
	ID       int64          `json:"id"`
	Unsigned uint64         `json:"unsigned,omitempty"`
	Float    float64        `cbor:"f"`
	When     time.Time      `json:"when"`
	Pointer  *inner         `json:"pointer"`
	List     []inner        `json:"list"`
	Map      map[string]int `json:"map"`
	hidden   int
}

func roundTrip(v value) (got value, data []byte, err error) {
	var c cbor.Codec[value]
	if data, err = c.Encode(v); err != nil {
		return got, nil, err
	}
	got, err = c.Decode(data)
	return got, data, err
}

func TestValuesComeBack(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Just("\xff is no UTF-8"))
	one := rapid.Custom(func(t *rapid.T) inner {
		return inner{text.Draw(t, "text"), rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "bytes")}
	})
	rapid.Check(t, func(t *rapid.T) {
		v := value{
			ID:       rapid.Int64().Draw(t, "ID"),
			Unsigned: rapid.Uint64().Draw(t, "unsigned"),
			Float:    rapid.Float64().Draw(t, "float"),
			When:     time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "s"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).UTC(),
			Pointer:  rapid.Ptr(one, true).Draw(t, "pointer"),
			List:     rapid.SliceOfN(one, 1, 5).Draw(t, "list"),
			Map:      rapid.MapOfN(rapid.String(), rapid.Int(), 1, 5).Draw(t, "map"),
		}
		got, _, err := roundTrip(v)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, got, cmp.AllowUnexported(value{})); d != "" {
			t.Fatalf("-value +decoded:\n%s", d)
		}
	})
}

func TestNumbersThatJSONRefuses(t *testing.T) {
	for _, n := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		got, _, err := roundTrip(value{Float: n})
		if err != nil || got.Float != n && !(math.IsNaN(n) && math.IsNaN(got.Float)) {
			t.Errorf("%v came back as %v, %v", n, got.Float, err)
		}
	}
}

func TestTagsOfJSONAreHeeded(t *testing.T) {
	got, data, err := roundTrip(value{hidden: 5})
	if err != nil {
		t.Fatal(err)
	}
	if got.hidden != 0 || !bytes.Contains(data, []byte("when")) || bytes.Contains(data, []byte("unsigned")) {
		t.Errorf("the encoding is %q", data)
	}
}

func TestWhatIsNoValueDoesNotDecode(t *testing.T) {
	_, data, err := roundTrip(value{ID: 7, List: []inner{{Text: "text"}}})
	if err != nil {
		t.Fatal(err)
	}
	var c cbor.Codec[value]
	for _, bad := range [][]byte{nil, []byte(`{"id":7}`), data[:len(data)-1], append(bytes.Clone(data), 0)} {
		if got, err := c.Decode(bad); err == nil {
			t.Errorf("%q is decoded to %+v", bad, got)
		}
	}
}

// TestLargeAndDeepValuesComeBack: what is encoded can be decoded.
func TestLargeAndDeepValuesComeBack(t *testing.T) {
	type node struct{ Next *node }
	var deep *node
	for range 200 {
		deep = &node{deep}
	}
	wide, pairs := make([]int, 200_000), make(map[int]bool, 200_000)
	for i := range wide {
		wide[i], pairs[i] = i%7, true
	}
	comesBack(t, deep)
	comesBack(t, wide)
	comesBack(t, pairs)
}

// TestTypesThatEncodeThemselves: as text, for example.
func TestTypesThatEncodeThemselves(t *testing.T) {
	data, err := (cbor.Codec[*big.Rat]{}).Encode(big.NewRat(22, 7))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (cbor.Codec[*big.Rat]{}).Decode(data); err != nil || got.String() != "22/7" {
		t.Errorf("22/7 came back as %v, %v", got, err)
	}
}

func comesBack[V any](t *testing.T, v V) {
	t.Helper()
	var c cbor.Codec[V]
	data, err := c.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, v) {
		t.Error("another value came back")
	}
}

// FuzzDecode: no bytes make Decode panic, and what decodes comes back if it can be encoded. A
// time that is no RFC 3339 time can not.
func FuzzDecode(f *testing.F) {
	_, data, err := roundTrip(value{ID: 7, When: time.Unix(1, 2), List: []inner{{Text: "text"}}, Map: map[string]int{"a": 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var c cbor.Codec[value]
		v, err := c.Decode(data)
		if err != nil {
			return
		}
		if data, err := c.Encode(v); err == nil {
			if _, err := c.Decode(data); err != nil {
				t.Errorf("%+v is not decoded: %v", v, err)
			}
		}
		var anything cbor.Codec[any]
		_, _ = anything.Decode(data)
	})
}
