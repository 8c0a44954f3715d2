// Package cbor is a codec for the values of a cache: CBOR (RFC 8949), by
// github.com/fxamacker/cbor. Its records are mostly smaller than those of JSON, except for floats
// of few digits, and are encoded and decoded faster, long strings above all. Unlike JSON it
// keeps invalid UTF-8 in strings, NaN and the infinities.
//
// Options.Schema of a cache must change when its codec does: during a deploy some instances
// still have the codec from before.
package cbor

import (
	"math"

	"github.com/fxamacker/cbor/v2"
	"github.com/nearside-go/nearside/cache"
)

// Codec is a cache.Codec for values of type V. The exported fields of a struct are encoded, under
// the names of their cbor or json tags. The methods MarshalCBOR, MarshalBinary and MarshalText of
// a type are used, and MarshalJSON is not: without one of the others such a type is encoded by
// its exported fields. A time.Time keeps its nanoseconds and its zone offset, but neither the
// name of the zone nor the monotonic clock. In a field of an interface type, integers come back
// as uint64 or int64, and maps as map[any]any. The zero value is ready for use.
type Codec[V any] struct{}

var _ cache.Codec[any] = Codec[any]{}

var (
	encoding = must(cbor.EncOptions{Time: cbor.TimeRFC3339Nano, TextMarshaler: cbor.TextMarshalerTextString}.EncMode())

	// The limits are the largest that the library allows, so that each encoding can be decoded.
	decoding = must(cbor.DecOptions{
		UTF8:             cbor.UTF8DecodeInvalid,
		TextUnmarshaler:  cbor.TextUnmarshalerTextString,
		MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32, MaxNestedLevels: 65535,
	}.DecMode())
)

func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

// Encode returns the CBOR encoding of v.
func (Codec[V]) Encode(v V) ([]byte, error) { return encoding.Marshal(v) }

// Decode parses data: one value, and nothing after it.
func (Codec[V]) Decode(data []byte) (v V, err error) {
	err = decoding.Unmarshal(data, &v)
	return v, err
}
