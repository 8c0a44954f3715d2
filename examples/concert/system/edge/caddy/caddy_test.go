package caddy_test

import (
	"os"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/edge/caddy"
	"github.com/nearside-go/nearside/examples/concert/system/edge/edgetest"
	"github.com/nearside-go/nearside/examples/concert/system/process"
)

func TestMain(m *testing.M) {
	process.Main(map[string]process.Role{caddy.Role: caddy.Run})
	os.Exit(m.Run())
}

func TestCaddy(t *testing.T) {
	edgetest.Run(t, edgetest.Servers{
		Start: func(t *testing.T, origin string) edge.Server {
			s, err := caddy.Start(t.Context(), origin)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Purgers: map[string]func(string) edge.Purger{
			"Keys": func(url string) edge.Purger { return edge.Keys{URL: url} },
		},
	})
}
