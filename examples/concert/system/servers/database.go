// Package servers starts the servers that the system needs, as processes of their own: the
// database and Redis.
package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// startWithin is how long a server may take until it is ready, on a busy machine.
const startWithin = 20 * time.Second

// DatabaseRole is the name of the role RunDatabase.
const DatabaseRole = "database"

type databaseConfig struct{ File, Addr string }

// StartDatabase starts a database with its file in dir. addr is where it listens: a port of 0
// is a free one.
func StartDatabase(name, dir, addr string) (*process.Process, error) {
	return process.Start(DatabaseRole, "the database of "+name, databaseConfig{filepath.Join(dir, name+".db"), addr}, startWithin)
}

// RunDatabase is the role of a database.
func RunDatabase(ctx context.Context, config []byte, ready func(addr string)) error {
	var c databaseConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("the database cannot listen at %s: %w", c.Addr, err)
	}
	defer listener.Close()
	server, err := database.Create(c.File, store.Schema)
	if err != nil {
		return err
	}
	ready(listener.Addr().String())
	return server.Serve(ctx, listener)
}
