package store

import (
	"context"
	"database/sql"
	"time"
)

// Outgoing is a row of the outbox: something that has to happen because a transaction has
// committed.
type Outgoing struct {
	ID      int64
	Kind    string
	Subject string
}

// The kinds of Outgoing, and their subjects.
const (
	KindSeats   = "seats"   // the id of a concert whose sold seats have changed
	KindSession = "session" // the id of a session that was closed
	KindWelcome = "welcome" // the email of a person who has signed up
)

func writeOutgoing(ctx context.Context, tx *sql.Tx, kind, subject string) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx, `INSERT INTO outbox (kind, subject, written) VALUES ($1, $2, $3) RETURNING id`,
		kind, subject, time.Now().UnixMilli()).Scan(&id)
	return id, err
}

// Due returns the oldest rows of the outbox that were written before a time.
func (s *Store) Due(ctx context.Context, before time.Time) ([]Outgoing, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, kind, subject FROM outbox WHERE written < $1 ORDER BY id LIMIT 100`, before.UnixMilli())
	return collect(rows, err, func() (Outgoing, error) {
		var o Outgoing
		err := rows.Scan(&o.ID, &o.Kind, &o.Subject)
		return o, err
	})
}

// Forget removes a row of the outbox. A row that is not there is no error.
func (s *Store) Forget(ctx context.Context, outgoing int64) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM outbox WHERE id = $1`, outgoing)
	return err
}
