package sentinel_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/process/processtest"
	"github.com/nearside-go/nearside/examples/concert/system/servers/sentinel"
)

// TestAStartThatFailsIsNotTriedAgain: a Sentinel does not start, while the servers live and hold
// their ports.
func TestAStartThatFailsIsNotTriedAgain(t *testing.T) {
	program, err := sentinel.Program()
	if err != nil {
		t.Fatal(err)
	}
	started := processtest.Watch(t, "redis-server", program, `case "$*" in *--sentinel) exit 1;; esac`)
	if _, err := sentinel.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "Sentinel ended before it was ready") {
		t.Errorf("error %v, want that the Sentinel has ended", err)
	}
	if n := started(); n != 3 {
		t.Errorf("%d processes were started, want two servers and a Sentinel", n)
	}
}

// TestWaitsEndWithTheContext: the promotion of a replica is not awaited after the context of Start.
func TestWaitsEndWithTheContext(t *testing.T) {
	stopped := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	g, err := sentinel.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	stop(stopped)
	if err := g.AwaitPromotion(); !errors.Is(err, stopped) {
		t.Errorf("error %v, want one that wraps %q", err, stopped)
	}
	if err := g.Start(); !errors.Is(err, stopped) {
		t.Errorf("error %v, want one that wraps %q", err, stopped)
	}
}
