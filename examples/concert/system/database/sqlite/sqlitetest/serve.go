// Package sqlitetest serves databases for tests.
package sqlitetest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
)

// AnyPort is the address of a free port.
const AnyPort = "127.0.0.1:0"

// Serve serves a file at an address until the test ends, and returns the address.
func Serve(t testing.TB, file, addr, schema string) string {
	t.Helper()
	server, err := sqlite.Create(file, schema)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		serving.Wait()
	})
	return listener.Addr().String()
}
