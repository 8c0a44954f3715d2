// Package processtest runs tests on a server.
package processtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
)

// Main is the TestMain of a package whose tests share a server. It starts the server, runs the
// tests, and closes the server.
func Main[S io.Closer](m *testing.M, server *S, start func(context.Context) (S, error)) {
	var err error
	if *server, err = start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := (*server).Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
