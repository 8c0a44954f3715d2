package haproxy_test

import (
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
	"github.com/nearside-go/nearside/examples/concert/system/balancer/balancertest"
	"github.com/nearside-go/nearside/examples/concert/system/balancer/haproxy"
)

func TestHAProxy(t *testing.T) {
	balancertest.Run(t, func(t *testing.T) balancer.Balancer {
		t.Helper()
		b, err := haproxy.New()
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}
