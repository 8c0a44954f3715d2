package sqlite

import (
	"context"
	"database/sql"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/nearside-go/nearside/examples/concert/system/database"
)

// Server serves a SQLite file.
type Server struct {
	db      *sql.DB
	idle    time.Duration // how long a client may send nothing within a transaction
	writing chan struct{} // holds a token while a transaction is open

	reads, others, background atomic.Int64
}

// Create opens the file, which may be new, runs schema, and returns a Server. idle is how long a
// client may send nothing within a transaction. Outside of tests it is database.IdleInTransaction.
func Create(file, schema string, idle time.Duration) (*Server, error) {
	db, err := sql.Open("sqlite", file+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=busy_timeout(5000)")
	if err == nil {
		_, err = db.Exec(schema)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database file: %w", err), closeAny(db))
	}
	return &Server{db: db, idle: idle, writing: make(chan struct{}, 1)}, nil
}

func closeAny(db *sql.DB) error {
	if db == nil {
		return nil
	}
	return db.Close()
}

// Serve serves the clients of listener until ctx ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	var clients sync.WaitGroup
	defer func() {
		clients.Wait()
		_ = s.db.Close()
	}()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a client: %w", err)
		}
		clients.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			s.serve(ctx, conn)
		})
	}
}

// session is the connection of a client.
type session struct {
	server *Server
	conn   *sql.Conn
	open   bool // a transaction is open, and this session has the token
}

func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	own, err := s.db.Conn(ctx)
	if err != nil {
		return
	}
	defer own.Close()
	client := &session{server: s, conn: own}
	defer client.rollback()
	in, out := gob.NewDecoder(conn), gob.NewEncoder(conn)
	for {
		var deadline time.Time
		if client.open {
			deadline = time.Now().Add(client.server.idle)
		}
		_ = conn.SetReadDeadline(deadline)
		var req request
		if in.Decode(&req) != nil {
			return
		}
		if out.Encode(client.answer(ctx, req)) != nil {
			return
		}
	}
}

func (c *session) answer(ctx context.Context, req request) (resp response) {
	c.count(req)
	var err error
	switch req.Op {
	case opPing:
	case opQuery:
		err = c.query(ctx, req, &resp)
	case opExec:
		err = c.exec(ctx, req, &resp)
	case opBegin:
		err = c.begin(ctx)
	case opCommit:
		err = c.end(ctx, "COMMIT")
	case opRollback:
		err = c.end(ctx, "ROLLBACK")
	case opCount:
		s := c.server
		resp.Counts = database.Counts{Reads: s.reads.Load(), Others: s.others.Load(), Background: s.background.Load()}
	}
	if err != nil {
		resp.Err = err.Error()
	}
	return resp
}

func (c *session) count(req request) {
	switch {
	case req.Op != opQuery && req.Op != opExec:
	case req.Background:
		c.server.background.Add(1)
	case req.Op == opQuery && !c.open:
		c.server.reads.Add(1)
	default:
		c.server.others.Add(1)
	}
}

func (c *session) query(ctx context.Context, req request, resp *response) error {
	rows, err := c.conn.QueryContext(ctx, req.SQL, arguments(req.Args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if resp.Columns, err = rows.Columns(); err != nil {
		return err
	}
	for rows.Next() {
		row := make([]cell, len(resp.Columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i].V
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		resp.Rows = append(resp.Rows, row)
	}
	return rows.Err()
}

func (c *session) exec(ctx context.Context, req request, resp *response) error {
	result, err := c.conn.ExecContext(ctx, req.SQL, arguments(req.Args)...)
	if err != nil {
		return err
	}
	resp.Affected, _ = result.RowsAffected() // SQLite has both numbers for every statement
	resp.LastID, _ = result.LastInsertId()
	return nil
}

// begin waits for the other transactions: SQLite has one writer at a time.
func (c *session) begin(ctx context.Context) error {
	if c.open {
		return errors.New("a transaction is open already")
	}
	select {
	case c.server.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.open = true
	_, err := c.conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		c.release()
	}
	return err
}

func (c *session) end(ctx context.Context, how string) error {
	if !c.open {
		return errors.New("no transaction is open")
	}
	_, err := c.conn.ExecContext(ctx, how)
	if err != nil {
		_, _ = c.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	c.release()
	return err
}

// rollback ends a transaction that the client has left open.
func (c *session) rollback() {
	if c.open {
		_, _ = c.conn.ExecContext(context.Background(), "ROLLBACK")
		c.release()
	}
}

func (c *session) release() {
	c.open = false
	<-c.server.writing
}

func arguments(cells []cell) []any {
	args := make([]any, len(cells))
	for i, c := range cells {
		args[i] = c.V
	}
	return args
}
