package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite/sqlitetest"
)

const schema = `CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT, size REAL)`

// serve starts a server on a file, and returns its address.
func serve(t *testing.T, file string) string {
	t.Helper()
	return sqlitetest.Serve(t, file, sqlitetest.AnyPort, schema)
}

func open(t *testing.T) *sql.DB {
	t.Helper()
	db := sqlite.Open(serve(t, filepath.Join(t.TempDir(), "test.db")))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestValuesPassUnchanged(t *testing.T) {
	db := open(t)
	r, err := db.ExecContext(t.Context(), `INSERT INTO t (id, name, size) VALUES (?, ?, ?), (8, NULL, 0)`, 7, "Grüße", 1.5)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 2 || err != nil {
		t.Errorf("%d rows affected, error %v, want 2", n, err)
	}
	var name sql.NullString
	var size float64
	if err := db.QueryRowContext(t.Context(), `SELECT name, size FROM t WHERE id = 7`).Scan(&name, &size); err != nil || name.String != "Grüße" || size != 1.5 {
		t.Errorf("row (%v, %v), error %v", name, size, err)
	}
	if err := db.QueryRowContext(t.Context(), `SELECT name, size FROM t WHERE id = 8`).Scan(&name, &size); err != nil || name.Valid || size != 0 {
		t.Errorf("row (%v, %v), error %v, want NULL and 0", name, size, err)
	}
}

func TestTransactions(t *testing.T) {
	db := open(t)
	for _, c := range []struct {
		end  func(*sql.Tx) error
		want int
	}{{(*sql.Tx).Rollback, 0}, {(*sql.Tx).Commit, 1}} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), `INSERT INTO t (id) VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		if err := c.end(tx); err != nil {
			t.Error(err)
		}
		if n := count(t, db); n != c.want {
			t.Errorf("%d rows, want %d", n, c.want)
		}
	}
}

// TestASilentTransactionIsRolledBack: a client that hangs in a transaction does not keep the
// others from writing, and is told that its connection broke.
func TestASilentTransactionIsRolledBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	db := sqlite.Open(sqlitetest.ServeIdle(t, file, sqlitetest.AnyPort, schema, database.IdleInTransaction))
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	silent, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// A stall of the test before a statement is a silence too, so the insert may fail already.
	_, inserted := silent.ExecContext(t.Context(), `INSERT INTO t (id) VALUES (1)`)
	other, err := db.BeginTx(ctx, nil) // waits until the silent one is rolled back
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Rollback() // fails after a stall
	if _, err := db.ExecContext(t.Context(), `INSERT INTO t (id) VALUES (2)`); err != nil {
		t.Error(err)
	}
	if err := errors.Join(inserted, silent.Commit()); !errors.Is(err, database.ErrBroken) {
		t.Errorf("the silent transaction: error %v, want ErrBroken", err)
	}
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestAContextEndsAWait(t *testing.T) {
	db := open(t)
	blocking, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	count(t, db) // with a second connection, so that the wait is not one for a connection
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := db.BeginTx(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if err := blocking.Rollback(); err != nil {
		t.Error(err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows, want 0", n)
	}
}

func TestStatementsAreCounted(t *testing.T) {
	db := open(t)
	before, err := sqlite.Count(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	count(t, db)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := tx.QueryContext(t.Context(), `SELECT id FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(rows.Close(), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(database.Background(t.Context()), `DELETE FROM t`); err != nil {
		t.Fatal(err)
	}
	after, err := sqlite.Count(t.Context(), db)
	if want := (database.Counts{Reads: 1, Others: 1, Background: 1}); err != nil || after.Sub(before) != want {
		t.Errorf("counted %+v, error %v, want %+v", after.Sub(before), err, want)
	}
}

func TestAStatementThatIsWrong(t *testing.T) {
	db := open(t)
	if _, err := db.ExecContext(t.Context(), `INSERT INTO missing VALUES (1)`); err == nil || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("error %v, want that there is no such table", err)
	}
	if n := count(t, db); n != 0 { // the connection is still of use
		t.Errorf("%d rows, want 0", n)
	}
}

func TestADatabaseThatIsAway(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	db := sqlite.Open(addr)
	defer db.Close()
	if err := db.PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "the database at "+addr+" does not answer") {
		t.Errorf("error %v, want a sentence with the address", err)
	}
}

func TestAFileThatCannotBeOpened(t *testing.T) {
	_, err := sqlite.Create(filepath.Join(t.TempDir(), "missing", "test.db"), schema, database.IdleInTransaction)
	if err == nil || !strings.Contains(err.Error(), "open the database file") {
		t.Errorf("error %v, want that the file cannot be opened", err)
	}
}
