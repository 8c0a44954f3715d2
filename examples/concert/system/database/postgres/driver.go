package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/nearside-go/nearside/examples/concert/system/database"
)

// Open returns a pool of connections to the database at a URL, which need not be up.
func Open(url string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the URL of the database: %w", err)
	}
	config.ConnectTimeout = time.Second
	addr := fmt.Sprintf("%s:%d", config.Host, config.Port)
	return database.Limit(sql.OpenDB(connector{stdlib.GetConnector(*config), addr})), nil
}

// connector is that of pgx, with connections whose errors wrap database.ErrBroken where they
// should.
type connector struct {
	driver.Connector
	addr string
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	plain, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("the database at %s does not answer: %w", c.addr, err)
	}
	return conn{plain.(*stdlib.Conn)}, nil
}

// conn is a connection of pgx. It marks the statements of background work with a comment, for
// the count, and the errors of a connection that broke.
type conn struct{ *stdlib.Conn }

const backgroundMark = "/* background */ "

func marked(ctx context.Context, query string) string {
	if database.IsBackground(ctx) {
		return backgroundMark + query
	}
	return query
}

func (c conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, marked(ctx, query), args)
	return rows, c.judge(ctx, err)
}

func (c conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.ExecContext(ctx, marked(ctx, query), args)
	return result, c.judge(ctx, err)
}

func (c conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	plain, err := c.Conn.BeginTx(ctx, o)
	if err != nil {
		return nil, c.judge(ctx, err)
	}
	return tx{plain, c, ctx}, nil
}

// judge returns err, which wraps database.ErrBroken if the connection broke during a call whose
// context has not ended.
func (c conn) judge(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && c.Conn.Conn().IsClosed() {
		return fmt.Errorf("%w: %w", database.ErrBroken, err)
	}
	return err
}

type tx struct {
	driver.Tx
	conn conn
	ctx  context.Context
}

func (t tx) Commit() error { return t.conn.judge(t.ctx, t.Tx.Commit()) }
