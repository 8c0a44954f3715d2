// Package cbor is a codec for the values of a cache: CBOR (RFC 8949), by
// github.com/fxamacker/cbor. Its records are smaller than those of JSON, and are encoded and
// decoded faster. Unlike JSON it keeps invalid UTF-8 in strings, NaN and the infinities.
//
// Options.Schema of a cache has to change when its codec does: other instances may still run
// with the old one.
package cbor

import (
	"github.com/fxamacker/cbor/v2"
	"github.com/nearside-go/nearside/cache"
)

// Codec is a cache.Codec for values of type V. Structs are encoded by the rules of
// encoding/json: exported fields, under the names of their cbor or json tags. A time.Time
// keeps its nanoseconds and its zone offset, but neither the name of the zone nor the
// monotonic clock. In a field of an interface type, integers come back as uint64 or int64,
// and maps as map[any]any. The zero value is ready for use.
type Codec[V any] struct{}

var _ cache.Codec[any] = Codec[any]{}

var (
	encoding = must(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode())
	decoding = must(cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode())
)

func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

// Encode returns the CBOR encoding of v.
func (Codec[V]) Encode(v V) ([]byte, error) { return encoding.Marshal(v) }

// Decode parses data, which has to be one value and nothing after it.
func (Codec[V]) Decode(data []byte) (v V, err error) {
	err = decoding.Unmarshal(data, &v)
	return v, err
}
