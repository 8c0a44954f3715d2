// Package compress is a codec for the values of a cache that compresses the payloads of
// another codec, by github.com/klauspost/compress: Zstandard (RFC 8878) compresses more, and
// S2 is faster.
//
// The first byte of a payload is its format. So instances with either algorithm, and with
// different Thresholds, read each other's payloads. Options.Schema of the cache must change
// when compression is added or taken away.
package compress

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/nearside-go/nearside/cache"
)

// The defaults of Options.
const (
	DefaultThreshold = 1 << 10
	DefaultMaxSize   = 64 << 20
)

// Options are the options of a codec. The zero value means the defaults.
type Options struct {
	// Threshold is the size in bytes below which a payload is not compressed; 0 means
	// DefaultThreshold.
	Threshold int

	// MaxSize is the size in bytes beyond which a payload is neither encoded nor decoded; 0
	// means DefaultMaxSize. A record whose payload would be larger is refused, at the price of
	// a few times MaxSize of memory at most, and the next load replaces it.
	MaxSize int
}

const (
	window = 1 << 20 // of an encoder, for twice as much memory

	// leastWindow is the window of the smallest frames: a decoder must allow it.
	leastWindow = 2 << 10
)

// The first byte of a payload.
const (
	plain     byte = 0
	zstdFrame byte = 'z'
	s2Block   byte = 's'
)

// ErrTooLarge is the error of a payload that is larger than Options.MaxSize.
var ErrTooLarge = errors.New("compress: the payload is larger than MaxSize")

var errFormat = errors.New("compress: the payload does not begin with a format of this package")

// Codec compresses the payloads of another codec: see [Zstd] and [S2]. It is safe for
// concurrent use.
type Codec[V any] struct {
	inner     cache.Codec[V]
	format    byte
	threshold int
	maxSize   int
	encoder   *zstd.Encoder // of Zstd
	decoder   *zstd.Decoder
}

// Zstd returns a Codec that compresses the payloads of inner with Zstandard. The Codec keeps a
// few MB of memory for each processor that has compressed, so caches of the same type should
// share one.
func Zstd[V any](inner cache.Codec[V], o Options) (*Codec[V], error) {
	c, err := newCodec(inner, zstdFrame, o)
	if err != nil {
		return nil, err
	}
	c.encoder, err = zstd.NewWriter(nil,
		zstd.WithEncoderCRC(false), // a record has a checksum
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true),
	)
	return c, err
}

// S2 returns a Codec that compresses the payloads of inner with S2.
func S2[V any](inner cache.Codec[V], o Options) (*Codec[V], error) {
	return newCodec(inner, s2Block, o)
}

func newCodec[V any](inner cache.Codec[V], format byte, o Options) (*Codec[V], error) {
	if o.Threshold < 0 || o.MaxSize < 0 {
		return nil, fmt.Errorf("compress: Threshold (%d) or MaxSize (%d) is negative", o.Threshold, o.MaxSize)
	}
	if o.Threshold == 0 {
		o.Threshold = DefaultThreshold
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	most := uint64(max(o.MaxSize, leastWindow))
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(most))
	return &Codec[V]{inner: inner, format: format, threshold: o.Threshold, maxSize: o.MaxSize, decoder: decoder}, err
}

// Encode compresses the payload of inner, if that saves at least an eighth of its size.
func (c *Codec[V]) Encode(v V) ([]byte, error) {
	data, err := c.inner.Encode(v)
	switch {
	case err != nil:
		return nil, err
	case len(data) > c.maxSize:
		return nil, ErrTooLarge
	case len(data) >= c.threshold:
		if small := c.compress(data); len(small) <= 1+len(data)-len(data)/8 {
			return small, nil
		}
	}
	return append(append(make([]byte, 0, 1+len(data)), plain), data...), nil
}

// compress returns data in c's format, with its first byte.
func (c *Codec[V]) compress(data []byte) []byte {
	if c.format == zstdFrame {
		return c.encoder.EncodeAll(data, append(make([]byte, 0, 1+len(data)/2), c.format))
	}
	small := make([]byte, 1+s2.MaxEncodedLen(len(data)))
	small[0] = c.format
	return small[:1+len(s2.Encode(small[1:], data))]
}

// Decode decompresses data, and decodes it with inner.
func (c *Codec[V]) Decode(data []byte) (v V, err error) {
	if len(data) == 0 {
		return v, errFormat
	}
	format, data := data[0], data[1:]
	switch {
	case format == plain:
		if len(data) > c.maxSize {
			err = ErrTooLarge
		}
	case format == zstdFrame && len(data) > 0:
		data, err = c.decoder.DecodeAll(data, nil)
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(data) > c.maxSize {
			err = ErrTooLarge
		}
	case format == s2Block:
		data, err = c.expand(data)
	default:
		err = errFormat
	}
	if err != nil {
		return v, err
	}
	return c.inner.Decode(data)
}

// expand decompresses a block of S2. The expanded size is in the head of the block.
func (c *Codec[V]) expand(data []byte) ([]byte, error) {
	size, err := s2.DecodedLen(data)
	switch {
	case err != nil:
		return nil, err
	case size > c.maxSize:
		return nil, ErrTooLarge
	}
	return s2.Decode(nil, data)
}
