package process

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Role is the work of a process. It calls ready once, with its address, and returns soon after
// ctx has ended. config is the configuration in JSON.
type Role func(ctx context.Context, config []byte, ready func(addr string)) error

// Main runs the role that this process was started for, and ends the process. Without a role
// Main returns at once.
func Main(roles map[string]Role) {
	name := os.Getenv(roleEnv)
	if name == "" {
		return
	}
	role, ok := roles[name]
	if !ok {
		fail(fmt.Errorf("there is no role %q", name))
	}
	config := []byte(os.Getenv(configEnv))
	_ = os.Unsetenv(roleEnv) // a process that this one starts has no role
	go endWithParent()
	signal.Ignore(os.Interrupt) // after Ctrl-C the parent ends its processes in order
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	var once sync.Once
	err := role(ctx, config, func(addr string) {
		once.Do(func() { fmt.Println("ready", addr) })
	})
	stop()
	if err != nil {
		fail(err)
	}
	os.Exit(0)
}

func fail(err error) {
	fmt.Println("failed", err) // read only by a parent that still waits for this process
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// endWithParent ends this process when its standard input ends, which the parent holds.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}
