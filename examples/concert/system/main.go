// Concert plays the life of a concert booking service: see the README of examples/concert.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/scenario"
	"github.com/nearside-go/nearside/examples/concert/system/servers"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// roles are what the processes of the system do.
var roles = map[string]process.Role{
	fleet.Role:           service.Run,
	servers.DatabaseRole: servers.RunDatabase,
	servers.RedisRole:    servers.RunMiniredis,
}

func main() {
	process.Main(roles)
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "concert:", err)
		os.Exit(1)
	}
}

const (
	longest  = 2 * time.Second // how long each row of a whole run is played, on each side
	shortest = 500 * time.Millisecond
)

func run(out io.Writer, args []string) error {
	flags := flag.NewFlagSet("concert", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	brief := flags.Bool("short", false, "play each scenario for a short time")
	addr := flags.String("addr", "127.0.0.1:0", "the `address` of the load balancer, on the loopback interface")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.Usage()
		return nil
	} else if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begun := time.Now()
	w, err := scenario.Open(ctx, scenario.Options{Addr: *addr})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "started in %v\n", time.Since(begun).Round(time.Millisecond))
	least := longest
	if *brief {
		least = shortest
	}
	err = w.Play(ctx, out, least)
	fmt.Fprintf(out, "%v in all\n", time.Since(begun).Round(time.Millisecond))
	return errors.Join(err, w.Close())
}
