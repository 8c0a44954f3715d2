package sentinel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/servers/sentinel"
)

// TestAStartThatFailsIsNotTriedAgain: a Sentinel does not start, while the servers live and hold
// their ports.
func TestAStartThatFailsIsNotTriedAgain(t *testing.T) {
	program, err := sentinel.Program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	script := fmt.Sprintf(`#!/bin/sh
echo $$ >>%s
case "$*" in *--sentinel) exit 1;; esac
exec %s "$@"
`, started, program)
	err = errors.Join(
		os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), // for the user of Redis
		os.WriteFile(started, nil, 0o600), os.Chmod(started, 0o666),
		os.WriteFile(filepath.Join(dir, "redis-server"), []byte(script), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if _, err := sentinel.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "Sentinel ended before it was ready") {
		t.Errorf("error %v, want that the Sentinel has ended", err)
	}
	text, err := os.ReadFile(started)
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(text))
	if len(pids) != 3 {
		t.Errorf("%d processes were started, want two servers and a Sentinel", len(pids))
	}
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("the process %s lives on", pid)
		}
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
