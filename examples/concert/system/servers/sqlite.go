package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"

	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// DatabaseRole is the name of the role RunDatabase.
const DatabaseRole = "database"

type databaseConfig struct{ File, Addr string }

// StartDatabase starts a SQLite database with its file in dir. addr is where it listens: a port
// of 0 is a free one.
func StartDatabase(ctx context.Context, name, dir, addr string) (*process.Process, error) {
	return process.Start(ctx, DatabaseRole, "the database of "+name, databaseConfig{filepath.Join(dir, name+".db"), addr}, startWithin)
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
	server, err := sqlite.Create(c.File, store.Schema(store.SerialSQLite), database.IdleInTransaction)
	if err != nil {
		return err
	}
	ready(listener.Addr().String())
	return server.Serve(ctx, listener)
}
