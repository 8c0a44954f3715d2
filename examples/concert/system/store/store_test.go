package store_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite/sqlitetest"
	"github.com/nearside-go/nearside/examples/concert/system/store"
	"github.com/nearside-go/nearside/examples/concert/system/store/storetest"
)

func open(t *testing.T) *sql.DB {
	t.Helper()
	db := sqlite.Open(sqlitetest.Serve(t, filepath.Join(t.TempDir(), "test.db"), sqlitetest.AnyPort, store.Schema(store.SerialSQLite)))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestOnSQLite(t *testing.T) { storetest.Run(t, open) }

// TestATransactionSurvivesAPause: the server rolls a silent transaction back, and the store runs
// it again.
func TestATransactionSurvivesAPause(t *testing.T) {
	s := store.New(open(t))
	runs := 0
	err := store.Within(s, t.Context(), func(tx *sql.Tx) error {
		if runs++; runs == 1 {
			<-time.After(database.IdleInTransaction + 50*time.Millisecond) // this is the pause
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
