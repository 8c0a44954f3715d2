// Concert plays the life of a concert booking service: see the README of examples/concert.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	caddyedge "github.com/nearside-go/nearside/examples/concert/system/edge/caddy"
	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/page"
	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/scenario"
	"github.com/nearside-go/nearside/examples/concert/system/servers"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// roles are the kinds of processes of the system.
var roles = map[string]process.Role{
	fleet.Role:           service.Run,
	servers.DatabaseRole: servers.RunDatabase,
	caddyedge.Role:       caddyedge.Run,
	servers.RedisRole:    servers.RunMiniredis,
}

func main() {
	process.Main(roles)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(launchedEnv) != "" {
		ctx = untilInputEnds(ctx, os.Stdin)
	}
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "concert:", err)
		os.Exit(1)
	}
}

// launchedEnv is set by the launcher, which holds the standard input of this process.
const launchedEnv = "CONCERT_LAUNCHED"

var errLauncherGone = errors.New("the program that has started this one is gone")

// untilInputEnds returns a context that ends with an input.
func untilInputEnds(ctx context.Context, input io.Reader) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel(errLauncherGone)
	}()
	return ctx
}

// How long each scenario is played at least, on each side.
const (
	whole = 1500 * time.Millisecond
	brief = 200 * time.Millisecond
)

type options struct {
	short, serve bool
	servers      string
	addr, page   string
}

func run(ctx context.Context, out io.Writer, args []string) error {
	var o options
	flags := flag.NewFlagSet("concert", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.short, "short", false, "play each scenario for a short time")
	flags.BoolVar(&o.serve, "serve", false, "play the scenarios again and again, and serve the page")
	flags.StringVar(&o.servers, "servers", "embedded", "the `kind` of servers: embedded, which need nothing but this program, or debian, those of Debian's packages")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "the `address` of the load balancer; port 0 is a free one")
	flags.StringVar(&o.page, "page", "127.0.0.1:8080", "the `address` of the page of -serve; port 0 is a free one")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.Usage()
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, addr := range []string{o.addr, o.page} {
		if !onLoopback(addr) {
			return fmt.Errorf("%q is not an address of the loopback interface, such as 127.0.0.1:8080", addr)
		}
	}
	return o.play(ctx, out)
}

// onLoopback reports whether only this machine can reach an address. The system has no
// passwords.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func (o options) play(ctx context.Context, out io.Writer) (err error) {
	begun := time.Now()
	opts := scenario.Options{Kind: o.servers, Addr: o.addr, Brief: o.short}
	var watched *page.Page
	if o.serve {
		if watched, err = page.Serve(o.page); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, watched.Close()) }()
		opts.Note = watched.Event
	}
	w, err := scenario.Open(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }() // also when a panic goes by
	fmt.Fprintf(out, "%s, at %s.\n", w.Heading, w.Cached.URL)
	fmt.Fprintf(out, "All of it started in %v.\n\n", time.Since(begun).Round(time.Millisecond))
	least := whole
	if o.short {
		least = brief
	}
	if o.serve {
		return serve(ctx, out, w, watched, least)
	}
	err = w.Play(ctx, out, least)
	fmt.Fprintf(out, "%v in all.\n", time.Since(begun).Round(100*time.Millisecond))
	return err
}

// serve plays the scenarios until ctx ends.
func serve(ctx context.Context, out io.Writer, w *scenario.World, watched *page.Page, least time.Duration) error {
	fmt.Fprintf(out, "Watch it at %s. Ctrl-C ends it.\n\n", watched.URL())
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { w.Watch(ctx, watched.Show) })
	defer watching.Wait()
	defer stop()
	for {
		err := w.Play(ctx, out, least)
		if ctx.Err() != nil {
			return nil // it was to end
		}
		if err != nil {
			return err
		}
	}
}
