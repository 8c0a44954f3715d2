package protobuf_test

import (
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/codec/protobuf"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

func comesBack[M proto.Message](t *testing.T, m M) {
	t.Helper()
	var c cache.Codec[M] = protobuf.Codec[M]{}
	data, err := c.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Decode(data)
	if err != nil || !proto.Equal(m, got) {
		t.Errorf("%v came back as %v, %v", m, got, err)
	}
}

func TestMessagesComeBack(t *testing.T) {
	comesBack(t, durationpb.New(90*time.Minute+3))
	comesBack(t, &emptypb.Empty{}) // whose encoding is empty
	s, err := structpb.NewStruct(map[string]any{"a": 1, "b": []any{"x", nil, true}})
	if err != nil {
		t.Fatal(err)
	}
	comesBack(t, s)
}

func TestANilMessageIsAnError(t *testing.T) {
	if data, err := (protobuf.Codec[*durationpb.Duration]{}).Encode(nil); err == nil {
		t.Errorf("the encoding of nil is %q", data)
	}
}

func TestWhatIsNoMessageDoesNotDecode(t *testing.T) {
	if got, err := (protobuf.Codec[*durationpb.Duration]{}).Decode([]byte("\xff{")); err == nil {
		t.Errorf("decoded %v", got)
	}
}

// FuzzDecode: no bytes make Decode panic, and what decodes can be encoded.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\x0a\x07\x0a\x01a\x12\x02\x18\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c protobuf.Codec[*structpb.Struct]
		m, err := c.Decode(data)
		if err != nil {
			return
		}
		if _, err := c.Encode(m); err != nil {
			t.Errorf("%v is not encoded: %v", m, err)
		}
	})
}
