package cache

import (
	"encoding/json"
	"fmt"
)

// Codec encodes values for the remote tier, and decodes them. A Codec must be safe for
// concurrent use. Decode may keep data, and must not change data.
//
// A Codec may fail or panic. A value that does not encode is returned to its callers and
// stored in neither tier. Bytes that do not decode are a miss, and the next load replaces
// them.
type Codec[V any] interface {
	Encode(v V) ([]byte, error)
	Decode(data []byte) (V, error)
}

// JSON is the default Codec: encoding/json.
type JSON[V any] struct{}

// Encode returns the JSON encoding of v.
func (JSON[V]) Encode(v V) ([]byte, error) { return json.Marshal(v) }

// Decode parses data.
func (JSON[V]) Decode(data []byte) (v V, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}

// Bytes is a Codec for values that are bytes already. It does not copy them.
type Bytes struct{}

// Encode returns v.
func (Bytes) Encode(v []byte) ([]byte, error) { return v, nil }

// Decode returns data.
func (Bytes) Decode(data []byte) ([]byte, error) { return data, nil }

// encode is Codec.Encode with a panic turned into an error.
func encode[V any](c Codec[V], v V) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cache: the codec panicked while encoding: %v", p)
		}
	}()
	return c.Encode(v)
}

// decode is Codec.Decode with a panic turned into an error.
func decode[V any](c Codec[V], data []byte) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cache: the codec panicked while decoding: %v", p)
		}
	}()
	return c.Decode(data)
}
