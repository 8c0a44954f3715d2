// Package postgres runs a PostgreSQL server, and is the driver for its databases: pgx, behind
// database/sql.
package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/process"
)

const (
	startWithin = 30 * time.Second
	endWithin   = 10 * time.Second
	countWithin = 10 * time.Second

	// owner is the user of Debian's package. PostgreSQL does not run as root.
	owner = "postgres"

	superuser = "concert"
)

// Program returns the file of the newest server that is installed.
func Program() (string, error) {
	files, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is right
	if len(files) == 0 {
		return "", errors.New("no PostgreSQL is installed (Debian: the package postgresql-15)")
	}
	return slices.Max(files), nil
}

// Server is a PostgreSQL on a port of the loopback interface, with its data in a temporary
// folder. It logs each statement, and counts them by its log.
type Server struct {
	addr     string
	dir      string
	password string
	log      *statementLog
	proc     *process.Process
}

// Start starts a Server. ctx bounds the start, not the life of the Server.
func Start(ctx context.Context) (*Server, error) {
	program, err := Program()
	if err != nil {
		return nil, err
	}
	s := &Server{password: rand.Text(), log: newStatementLog()}
	if s.dir, err = process.Folder(owner); err != nil {
		return nil, err
	}
	if err = s.create(ctx, program); err == nil {
		err = process.OnFreeAddr(func(addr string) error { return s.start(ctx, program, addr) })
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// create fills the folder with an empty database.
func (s *Server) create(ctx context.Context, program string) error {
	password := filepath.Join(s.dir, "password") // for initdb, in a folder that others cannot enter
	if err := os.WriteFile(password, []byte(s.password), 0o644); err != nil {
		return err
	}
	defer os.Remove(password)
	initdb, err := process.Program{
		Name: "initdb", File: filepath.Join(filepath.Dir(program), "initdb"), User: owner,
		Args: []string{
			"--pgdata", s.data(), "--username", superuser, "--pwfile", password, "--auth", "scram-sha-256",
			"--encoding", "UTF8", "--no-locale", "--no-sync",
		},
	}.Start()
	if err != nil {
		return err
	}
	select {
	case <-initdb.Done():
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("initdb has not ended: %w", context.Cause(ctx)), initdb.End(endWithin))
	}
	if _, err := os.Stat(filepath.Join(s.data(), "PG_VERSION")); err != nil {
		return fmt.Errorf("initdb made no database: %s", initdb.Output())
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) start(ctx context.Context, program, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	args := []string{"-D", s.data()}
	for _, setting := range []string{
		"listen_addresses=" + host, "port=" + port, "unix_socket_directories=", "max_connections=400",
		"idle_in_transaction_session_timeout=" + fmt.Sprint(database.IdleInTransaction.Milliseconds()),
		"synchronous_commit=off", // a power failure may lose the last transactions, and a crash of the server none
		"log_statement=all", "log_parameter_max_length=0", "log_line_prefix=" + logPrefix,
	} {
		args = append(args, "-c", setting)
	}
	s.addr = addr
	s.proc, err = process.Program{Name: "PostgreSQL", File: program, Args: args, User: owner, Log: s.log}.Start()
	if err != nil {
		return err
	}
	return s.proc.Await(ctx, startWithin, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		db, err := pgx.Connect(ctx, s.URL(superuserDatabase))
		if err != nil {
			return err
		}
		return db.Close(ctx)
	})
}

const superuserDatabase = "postgres"

// URL returns the address of a database, for Open.
func (s *Server) URL(name string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, s.password), Host: s.addr, Path: name, RawQuery: "sslmode=disable"}
	return u.String()
}

// Create creates a database, and runs schema there.
func (s *Server) Create(ctx context.Context, name, schema string) error {
	err := s.exec(ctx, superuserDatabase, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize())
	if err == nil {
		err = s.exec(ctx, name, schema)
	}
	if err != nil {
		return fmt.Errorf("create the database %s: %w", name, err)
	}
	return nil
}

// exec runs statements without parameters.
func (s *Server) exec(ctx context.Context, name, statements string) error {
	db, err := pgx.Connect(ctx, s.URL(name))
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, statements, pgx.QueryExecModeSimpleProtocol)
	return errors.Join(err, db.Close(ctx))
}

// Count returns the statements of a database that the server has carried out. db is a pool of
// connections to it.
func (s *Server) Count(ctx context.Context, db *sql.DB, name string) (database.Counts, error) {
	ctx, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	mark := markPrefix + " SELECT '" + rand.Text() + "'"
	read := s.log.expect(mark)
	if _, err := db.ExecContext(ctx, mark, pgx.QueryExecModeSimpleProtocol); err != nil {
		return database.Counts{}, err
	}
	select {
	case <-read:
		return s.log.of(name), nil
	case <-s.proc.Done():
		return database.Counts{}, fmt.Errorf("PostgreSQL has ended: %s", s.proc.Output())
	case <-ctx.Done():
		return database.Counts{}, ctx.Err()
	}
}

// Close ends the server, and removes its folder.
func (s *Server) Close() error {
	var err error
	if s.proc != nil {
		err = s.proc.EndBy(syscall.SIGQUIT, endWithin) // at once, whatever its clients do
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
