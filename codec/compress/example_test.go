package compress_test

import (
	"fmt"
	"strings"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/codec/compress"
)

type page struct{ Title, Text string }

// Pages are stored as JSON that S2 has compressed. The codec goes into cache.Options.Codec.
func ExampleS2() {
	codec, err := compress.S2(cache.JSON[page]{}, compress.Options{})
	if err != nil {
		panic(err)
	}
	payload, err := codec.Encode(page{"a poem", strings.Repeat("a rose is ", 1000)})
	if err != nil {
		panic(err)
	}
	p, err := codec.Decode(payload)
	fmt.Println(len(payload) < 1000, len(p.Text), err)
	// Output: true 10000 <nil>
}
