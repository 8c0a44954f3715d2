// Quickstart walks through what nearside does, with a real source and a real
// outage, and checks every step of it:
//
//	go run ./examples/quickstart
//
// The source is SQLite, in a temporary file. Redis is embedded; -redis names one
// of yours instead, where the walk uses keys of its own and removes them. The
// exit status is 1 if any step went otherwise than it should.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// longest bounds the walk, which takes about a second.
const longest = 30 * time.Second

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run takes the walk that args ask for and writes its lines to w. Its error says
// which step failed, and how.
func run(w io.Writer, args []string) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	redisURL := flags.String("redis", "", "the `URL` of a Redis to use, such as redis://localhost:6379/0 (default: one that is embedded)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(w)
		flags.Usage()
		return nil
	} else if err != nil {
		return err
	}

	goredis.SetLogger(silent{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()

	var t tour
	err := t.prepare(*redisURL)
	if err == nil {
		err = t.walk(ctx, w)
	}
	return errors.Join(err, t.after.run())
}

// silent takes the place of go-redis' logger, which would write every refused
// connection to standard error: here Redis is stopped on purpose.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// teardown is what is to be done at the end, last come first served.
type teardown []func() error

func (t *teardown) add(f func() error) { *t = append(*t, f) }

func (t *teardown) run() error {
	var problems []error
	for i := len(*t) - 1; i >= 0; i-- {
		problems = append(problems, (*t)[i]())
	}
	return errors.Join(problems...)
}
