// Package database has the parts that the drivers of the system's databases share. The drivers
// are the packages in this folder.
package database

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// IdleInTransaction is how long a client may send nothing within a transaction. Then the server
// rolls the transaction back, and ends the connection.
const IdleInTransaction = 250 * time.Millisecond

// ErrBroken is wrapped by the error of a statement or a commit that has lost the connection. It
// may have been carried out.
var ErrBroken = errors.New("the connection to the database broke")

// Counts are the statements that a server has carried out.
type Counts struct {
	Reads      int64 // queries outside of transactions, which a cache can spare
	Others     int64
	Background int64 // statements of contexts that Background has made
}

// Sub returns the statements since an earlier count.
func (c Counts) Sub(earlier Counts) Counts {
	return Counts{c.Reads - earlier.Reads, c.Others - earlier.Others, c.Background - earlier.Background}
}

type backgroundKey struct{}

// Background returns a context for background work. Its statements do not count as those of
// requests.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// IsBackground reports whether Background has made ctx.
func IsBackground(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }

// Limit sets the size of a pool: those of all instances have to fit into the limit of the server.
func Limit(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	return db
}
