package bench_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/cache"
)

// BenchmarkCodec measures the default codec, whose work is most of what a Redis hit of a large
// value costs, and the copy of the payload into the record that is sent.
//
//	GOEXPERIMENT=jsonv2 go test -run '^$' -bench Codec .
func BenchmarkCodec(b *testing.B) {
	var codec cache.JSON[[]user]
	for _, n := range []int{1, 80, 800} {
		users := slices.Repeat([]user{sample}, n)
		users[0].Name = strings.Repeat("Ada ", 4)
		payload, err := codec.Encode(users)
		must(b, err)
		name := func(what string) string { return fmt.Sprintf("%s/%dB", what, len(payload)) }
		b.Run(name("encode"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.Encode(users); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name("decode"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.Decode(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name("copy"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(append(make([]byte, 0, 64+len(payload)), payload...)) == 0 {
					b.Fatal("nothing was copied")
				}
			}
		})
	}
}
