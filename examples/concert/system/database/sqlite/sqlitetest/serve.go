// Package sqlitetest serves databases for tests.
package sqlitetest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
)

// AnyPort is the address of a free port.
const AnyPort = "127.0.0.1:0"

// Serve serves a file at an address until the test ends, and returns the address. The limit of
// silence within a transaction is so long that no test reaches it on a busy machine.
func Serve(t testing.TB, file, addr, schema string) string {
	t.Helper()
	return ServeIdle(t, file, addr, schema, time.Minute)
}

// ServeIdle is Serve with another limit of silence. A test that stalls for so long is silent, so
// only tests of silence have a short limit.
func ServeIdle(t testing.TB, file, addr, schema string, idle time.Duration) string {
	t.Helper()
	server, err := sqlite.Create(file, schema, idle)
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
