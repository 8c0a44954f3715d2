package store

import (
	"context"
	"database/sql"
)

// SignUp adds a person and opens a session. In the same transaction it writes an Outgoing of
// KindWelcome, whose id it returns. For a person who is there already SignUp only opens the
// session, and returns 0.
func (s *Store) SignUp(ctx context.Context, email, name, session string) (outgoing int64, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		outgoing = 0
		r, err := tx.ExecContext(ctx, `INSERT INTO people (email, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, email, name)
		if isNew, err := changed(r, err); err != nil {
			return err
		} else if isNew {
			if outgoing, err = writeOutgoing(ctx, tx, KindWelcome, email); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sessions (id, email) VALUES ($1, $2) ON CONFLICT DO NOTHING`, session, email)
		return err
	})
	return outgoing, err
}

// Session returns the email of an open session, or ErrNotFound.
func (s *Store) Session(ctx context.Context, id string) (string, error) {
	var email string
	err := s.db.QueryRowContext(ctx, `SELECT email FROM sessions WHERE id = $1`, id).Scan(&email)
	return email, notFound(err)
}

// CloseSession removes a session. In the same transaction it writes an Outgoing of KindSession,
// whose id it returns. For a session that is not open CloseSession changes nothing, and returns 0.
func (s *Store) CloseSession(ctx context.Context, id string) (outgoing int64, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		outgoing = 0
		r, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE id = $1`, id)
		open, err := changed(r, err)
		if err == nil && open {
			outgoing, err = writeOutgoing(ctx, tx, KindSession, id)
		}
		return err
	})
	return outgoing, err
}
