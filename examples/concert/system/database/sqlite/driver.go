package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database"
)

// Open returns a pool of connections to the server at addr, which need not be up.
func Open(addr string) *sql.DB {
	return database.Limit(sql.OpenDB(connector(addr)))
}

// Count returns the statements that the server has carried out.
func Count(ctx context.Context, db *sql.DB) (database.Counts, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return database.Counts{}, err
	}
	defer c.Close()
	var counts database.Counts
	err = c.Raw(func(raw any) error {
		resp, err := raw.(*conn).call(ctx, request{Op: opCount})
		counts = resp.Counts
		return err
	})
	return counts, err
}

type connector string

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	link, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", string(c))
	if err != nil {
		return nil, fmt.Errorf("the database at %s does not answer: %w", string(c), err)
	}
	return &conn{link: link, in: gob.NewDecoder(link), out: gob.NewEncoder(link)}, nil
}

func (c connector) Driver() driver.Driver { return drv{} }

type drv struct{}

func (drv) Open(name string) (driver.Conn, error) {
	return connector(name).Connect(context.Background())
}

// conn is a connection to the server. database/sql uses it from one goroutine at a time.
type conn struct {
	link   net.Conn
	in     *gob.Decoder
	out    *gob.Encoder
	broken bool
}

// call sends a request and waits for its response, until ctx ends. The connection is not
// used after a failure, because a late response may still come.
func (c *conn) call(ctx context.Context, req request) (response, error) {
	var resp response
	if c.broken {
		return resp, driver.ErrBadConn
	}
	stop := context.AfterFunc(ctx, func() { _ = c.link.SetDeadline(time.Unix(1, 0)) })
	req.Background = database.IsBackground(ctx)
	err := c.out.Encode(req)
	if err == nil {
		err = c.in.Decode(&resp)
	}
	if !stop() {
		c.broken = true
	}
	switch {
	case err != nil && ctx.Err() != nil:
		c.broken = true
		return resp, ctx.Err()
	case err != nil:
		c.broken = true
		return resp, fmt.Errorf("%w: %w", database.ErrBroken, err)
	case resp.Err != "":
		return resp, errors.New("database: " + resp.Err)
	}
	return resp, nil
}

func (c *conn) IsValid() bool { return !c.broken }

func (c *conn) Close() error { return c.link.Close() }

func (c *conn) Ping(ctx context.Context) error {
	_, err := c.call(ctx, request{Op: opPing})
	return err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	resp, err := c.call(ctx, request{Op: opQuery, SQL: query, Args: cells(args)})
	if err != nil {
		return nil, err
	}
	return &rows{resp: resp}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	resp, err := c.call(ctx, request{Op: opExec, SQL: query, Args: cells(args)})
	if err != nil {
		return nil, err
	}
	return result{resp}, nil
}

func (c *conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if _, err := c.call(ctx, request{Op: opBegin}); err != nil {
		return nil, err
	}
	return tx{c}, nil
}

func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

func (c *conn) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("database: there are no prepared statements")
}

// endWithin bounds a commit and a rollback, which have no context of their own.
const endWithin = 5 * time.Second

type tx struct{ c *conn }

func (t tx) Commit() error   { return t.end(opCommit) }
func (t tx) Rollback() error { return t.end(opRollback) }

func (t tx) end(op operation) error {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	_, err := t.c.call(ctx, request{Op: op})
	return err
}

type result struct{ resp response }

func (r result) LastInsertId() (int64, error) { return r.resp.LastID, nil }
func (r result) RowsAffected() (int64, error) { return r.resp.Affected, nil }

type rows struct {
	resp response
	next int
}

func (r *rows) Columns() []string { return r.resp.Columns }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(into []driver.Value) error {
	if r.next == len(r.resp.Rows) {
		return io.EOF
	}
	for i, c := range r.resp.Rows[r.next] {
		into[i] = c.V
	}
	r.next++
	return nil
}

func cells(args []driver.NamedValue) []cell {
	out := make([]cell, len(args))
	for i, a := range args {
		out[i].V = a.Value
	}
	return out
}
