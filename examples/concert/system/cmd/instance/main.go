// Instance runs one instance of the service, as a container does. Its configuration is that of
// service.FromEnvironment. SIGTERM lets it drain and end.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, "instance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, environment []string) error {
	config, err := service.FromEnvironment(environment)
	if err != nil {
		return err
	}
	return service.Serve(ctx, config, func(addr string) { fmt.Println("listening at", addr) })
}
