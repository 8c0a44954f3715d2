package varnish_test

import (
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/edge/edgetest"
	"github.com/nearside-go/nearside/examples/concert/system/edge/varnish"
)

func TestVarnish(t *testing.T) {
	edgetest.Run(t, edgetest.Servers{
		Start: func(t *testing.T, origin string) edge.Server {
			t.Helper()
			s, err := varnish.Start(t.Context(), origin)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Purgers: map[string]func(string) edge.Purger{
			"Keys": func(url string) edge.Purger { return edge.Keys{URL: url} },
			"Bans": func(url string) edge.Purger { return edge.Bans{URL: url} },
		},
	})
}
