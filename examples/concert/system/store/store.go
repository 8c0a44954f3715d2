// Package store has the statements of the service, over database/sql. It knows nothing of
// caches: package service puts them in front of it.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/nearside-go/nearside/examples/concert/system/database"
)

// The types of a column that numbers its rows, for Schema.
const (
	SerialSQLite   = "INTEGER PRIMARY KEY AUTOINCREMENT"
	SerialPostgres = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
)

// Schema returns the statements that create the tables. A sold seat is a row of sold, whose
// primary key keeps a seat from being sold twice. All other statements of the package are the
// same for all databases.
func Schema(serial string) string { return strings.ReplaceAll(schema, "SERIAL", serial) }

const schema = `
CREATE TABLE IF NOT EXISTS categories (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS concerts (
	id INTEGER PRIMARY KEY, category INTEGER NOT NULL, title TEXT NOT NULL, venue TEXT NOT NULL,
	seats INTEGER NOT NULL, cents INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS concerts_by_category ON concerts (category);
CREATE TABLE IF NOT EXISTS notices (
	id SERIAL, concert INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,
	UNIQUE (concert, name));
CREATE TABLE IF NOT EXISTS bookings (
	id TEXT PRIMARY KEY, concert INTEGER NOT NULL, person TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sold (
	concert INTEGER NOT NULL, seat INTEGER NOT NULL, booking TEXT NOT NULL,
	PRIMARY KEY (concert, seat));
CREATE INDEX IF NOT EXISTS sold_by_booking ON sold (booking);
CREATE TABLE IF NOT EXISTS people (email TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, email TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
	id SERIAL, kind TEXT NOT NULL, subject TEXT NOT NULL, written BIGINT NOT NULL);`

// Errors of the store.
var (
	ErrNotFound = errors.New("store: not found")
	ErrSold     = errors.New("store: a seat is sold already")
	ErrNoSeat   = errors.New("store: the hall has no such seat")
	ErrTaken    = errors.New("store: the notice has another text already")
)

// Store reads and writes the tables.
type Store struct{ db *sql.DB }

// New returns a Store over db, which the caller closes.
func New(db *sql.DB) *Store { return &Store{db: db} }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Seed fills empty tables with categories and concerts, of seats each.
func (s *Store) Seed(ctx context.Context, concerts, seats int) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		for i, name := range categories {
			if _, err := tx.ExecContext(ctx, `INSERT INTO categories (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, i+1, name); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO concerts (id, category, title, venue, seats, cents)
			WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < $1)
			SELECT id, 1 + id % $2, 'Concert ' || id, 'Hall ' || (1 + id % 9), CAST($3 AS INTEGER), 1000 + 10 * id
			FROM ids WHERE true ON CONFLICT DO NOTHING`,
			concerts, len(categories), seats)
		return err
	})
}

var categories = []string{"Classical", "Jazz", "Folk", "Rock"}

// within runs f in a transaction, and rolls it back if f fails. If the connection breaks, as
// after a pause of this process, within tries once more. The transaction may have been
// committed, so f must do nothing the second time.
func (s *Store) within(ctx context.Context, f func(*sql.Tx) error) error {
	err := s.once(ctx, f)
	if errors.Is(err, database.ErrBroken) {
		err = s.once(ctx, f)
	}
	return err
}

func (s *Store) once(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // does nothing after the commit
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// notFound is err, or ErrNotFound if there was no row.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// affected is an error unless a statement has changed a row.
func affected(r sql.Result, err error) error {
	if found, err := changed(r, err); err != nil || found {
		return err
	}
	return ErrNotFound
}

// changed reports whether a statement has changed a row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}
