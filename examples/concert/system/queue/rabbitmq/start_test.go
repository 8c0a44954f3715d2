package rabbitmq_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/queue/rabbitmq"
)

// TestAStartThatFailsIsNotTriedAgain: the node does not start, while its epmd lives and holds its
// port.
func TestAStartThatFailsIsNotTriedAgain(t *testing.T) {
	_, epmd, err := rabbitmq.Programs()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	script := fmt.Sprintf("#!/bin/sh\necho $$ >>%s\nexec %s \"$@\"\n", started, epmd)
	err = errors.Join(
		os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), // for the user of RabbitMQ
		os.WriteFile(started, nil, 0o600), os.Chmod(started, 0o666),
		os.WriteFile(filepath.Join(dir, "epmd"), []byte(script), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("ERL_AFLAGS", "+none") // Erlang has no such flag
	if _, err := rabbitmq.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "RabbitMQ ended before it was ready") {
		t.Errorf("error %v, want that RabbitMQ has ended", err)
	}
	text, err := os.ReadFile(started)
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(text))
	if len(pids) != 1 {
		t.Errorf("%d times an epmd was started, want once", len(pids))
	}
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("the epmd %s lives on", pid)
		}
	}
}
