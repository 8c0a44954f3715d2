package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite/sqlitetest"
	"github.com/nearside-go/nearside/examples/concert/system/store"
	"github.com/nearside-go/nearside/examples/concert/system/store/storetest"
)

// serve serves a database, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	return sqlitetest.Serve(t, filepath.Join(t.TempDir(), "test.db"), sqlitetest.AnyPort, store.Schema(store.SerialSQLite))
}

func open(t *testing.T) *sql.DB {
	t.Helper()
	db := sqlite.Open(serve(t))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestOnSQLite(t *testing.T) { storetest.Run(t, open) }

// breakable connects to a database. The test can break the newest connection.
type breakable struct {
	driver driver.Driver
	addr   string
	newest driver.Conn
}

func (b *breakable) Connect(context.Context) (conn driver.Conn, err error) {
	b.newest, err = b.driver.Open(b.addr)
	return b.newest, err
}

func (b *breakable) Driver() driver.Driver { return b.driver }

// TestATransactionSurvivesABrokenConnection: the store runs it again. A connection breaks if this
// process pauses in a transaction: the server rolls the transaction back.
func TestATransactionSurvivesABrokenConnection(t *testing.T) {
	addr := serve(t)
	plain := sqlite.Open(addr) // only its driver is used
	defer plain.Close()
	network := &breakable{driver: plain.Driver(), addr: addr}
	db := sql.OpenDB(network)
	defer db.Close()
	s := store.New(db)
	runs := 0
	err := store.Within(s, t.Context(), func(tx *sql.Tx) error {
		if runs++; runs == 1 {
			if err := network.newest.Close(); err != nil {
				t.Error(err)
			}
		}
		_, err := tx.ExecContext(t.Context(), `INSERT INTO people (email, name) VALUES ('ada@example.org', 'Ada')`)
		return err
	})
	if err != nil || runs != 2 {
		t.Errorf("%d runs, error %v, want 2 and none", runs, err)
	}
	if outgoing, err := s.SignUp(t.Context(), "ada@example.org", "Ada", "s"); err != nil || outgoing != 0 {
		t.Errorf("sign-up of a person who is there: outgoing %d, error %v", outgoing, err)
	}
}
