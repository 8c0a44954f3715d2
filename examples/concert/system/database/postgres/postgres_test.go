package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/database/postgres"
	"github.com/nearside-go/nearside/examples/concert/system/process/processtest"
	"github.com/nearside-go/nearside/examples/concert/system/store"
	"github.com/nearside-go/nearside/examples/concert/system/store/storetest"
)

// server is the server of all tests.
var server *postgres.Server

func TestMain(m *testing.M) { processtest.Main(m, &server, postgres.Start) }

var serial atomic.Int64

// open returns a pool of connections to a new database with a schema, and its name. The limit of
// silence within a transaction is so long that no test reaches it on a busy machine.
func open(t *testing.T, schema string) (db *sql.DB, name string) {
	t.Helper()
	return openWith(t, schema, "&idle_in_transaction_session_timeout=1min")
}

// openWith is open with settings in place of the long limit, in the form of a URL's parameters.
func openWith(t *testing.T, schema, settings string) (db *sql.DB, name string) {
	t.Helper()
	name = fmt.Sprintf("test %d", serial.Add(1))
	if err := server.Create(t.Context(), name, schema); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(server.URL(name) + settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, name
}

func TestTheStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *sql.DB {
		db, _ := open(t, store.Schema(store.SerialPostgres))
		return db
	})
}

const schema = `CREATE TABLE t (id INTEGER PRIMARY KEY)`

// TestASilentTransactionIsRolledBack: a client that hangs in a transaction does not keep the
// others from writing, and is told that its connection broke.
func TestASilentTransactionIsRolledBack(t *testing.T) {
	db, _ := openWith(t, schema, "") // with the limit of the server
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	silent, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const insert = `INSERT INTO t (id) VALUES (1)`
	// A stall of the test before a statement is a silence too, so the insert may fail already.
	_, inserted := silent.ExecContext(t.Context(), insert)
	if _, err := db.ExecContext(ctx, insert); err != nil { // waits until the silent one is rolled back
		t.Error(err)
	}
	if err := errors.Join(inserted, silent.Commit()); !errors.Is(err, database.ErrBroken) {
		t.Errorf("the silent transaction: error %v, want ErrBroken", err)
	}
	if _, err := db.ExecContext(t.Context(), insert); err == nil || errors.Is(err, database.ErrBroken) {
		t.Errorf("an insert of a row that exists: error %v, want another one", err)
	}
}

func TestAContextEndsAWait(t *testing.T) {
	db, _ := open(t, schema)
	if err := db.PingContext(t.Context()); err != nil { // the wait is not one for a connection
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := db.ExecContext(ctx, `SELECT pg_sleep(60)`); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, database.ErrBroken) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestStatementsAreCounted(t *testing.T) {
	db, name := open(t, schema)
	other, _ := open(t, schema)
	count := func() database.Counts {
		t.Helper()
		c, err := server.Count(t.Context(), db, name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	read := func(ctx context.Context, from interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	}) {
		t.Helper()
		rows, err := from.QueryContext(ctx, "SELECT id\nFROM t WHERE id > $1", 0)
		if err == nil {
			err = rows.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	before := count()
	for range 3 {
		read(t.Context(), db)
	}
	read(t.Context(), other)
	read(database.Background(t.Context()), db)
	for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		read(t.Context(), tx)
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	read(t.Context(), db)
	if _, err := db.ExecContext(t.Context(), `DELETE FROM t`); err != nil {
		t.Fatal(err)
	}
	if got, want := count().Sub(before), (database.Counts{Reads: 4, Others: 3, Background: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestADatabaseThatIsAway(t *testing.T) {
	db, err := postgres.Open("postgres://nobody:secret@127.0.0.1:1/none?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.PingContext(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the database at 127.0.0.1:1 does not answer") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v, want a sentence with the address", err)
	}
}
