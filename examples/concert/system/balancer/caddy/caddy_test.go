package caddy_test

import (
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
	"github.com/nearside-go/nearside/examples/concert/system/balancer/balancertest"
	"github.com/nearside-go/nearside/examples/concert/system/balancer/caddy"
)

func TestCaddy(t *testing.T) {
	balancertest.Run(t, func(*testing.T) balancer.Balancer { return caddy.New() })
}
