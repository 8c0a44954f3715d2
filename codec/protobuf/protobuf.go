// Package protobuf is a codec for the values of a cache that are protocol buffer messages, by
// google.golang.org/protobuf.
//
// Options.Schema of a cache must change when a message changes in a way that protocol buffers
// do not allow for, and when the codec does.
package protobuf

import (
	"errors"

	"github.com/nearside-go/nearside/cache"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Codec is a cache.Codec for messages of type M, a pointer type that protoc-gen-go generates,
// such as *pb.User. The zero value is ready for use.
type Codec[M proto.Message] struct{}

var _ cache.Codec[*emptypb.Empty] = Codec[*emptypb.Empty]{}

// errNil is returned for a nil message, whose encoding would be that of an empty message.
var errNil = errors.New("protobuf: the message is nil")

// Encode returns the wire format of m. A nil message is an error. A loader returns
// cache.ErrNotFound in place of nil.
func (Codec[M]) Encode(m M) ([]byte, error) {
	if !m.ProtoReflect().IsValid() {
		return nil, errNil
	}
	return proto.Marshal(m)
}

// Decode parses data into a new message.
func (Codec[M]) Decode(data []byte) (M, error) {
	var zero M
	m := zero.ProtoReflect().New().Interface()
	err := proto.Unmarshal(data, m)
	return m.(M), err
}
