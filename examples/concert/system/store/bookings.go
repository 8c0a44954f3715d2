package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
)

// Booking is a person's seats in a concert. Its ID is chosen by the client, so that a request
// which is sent twice books once.
type Booking struct {
	ID      string `json:"id"`
	Concert int64  `json:"concert"`
	Person  string `json:"person"`
	Seats   []int  `json:"seats"`
}

// Book books all seats of b, or none. In the same transaction it writes an Outgoing of
// KindSeats, whose id it returns. A Book of a booking that exists changes nothing, and
// returns 0.
func (s *Store) Book(ctx context.Context, b Booking) (outgoing int64, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		outgoing = 0
		r, err := tx.ExecContext(ctx, `INSERT INTO bookings (id, concert, person) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			b.ID, b.Concert, b.Person)
		isNew, err := changed(r, err)
		if err != nil {
			return err
		}
		if !isNew {
			return same(ctx, tx, b)
		}
		outgoing, err = sell(ctx, tx, b)
		return err
	})
	return outgoing, err
}

// same is nil if a repeated booking equals the first one.
func same(ctx context.Context, tx *sql.Tx, b Booking) error {
	old, err := booking(ctx, tx, b.ID)
	if err != nil {
		return err
	}
	seats := slices.Sorted(slices.Values(b.Seats))
	if old.Concert != b.Concert || old.Person != b.Person || !slices.Equal(old.Seats, seats) {
		return ErrSold
	}
	return nil
}

// sell sells the seats of b, and writes the Outgoing. The seats are in order, so that two
// transactions which want the same seats wait for each other in one direction only.
func sell(ctx context.Context, tx *sql.Tx, b Booking) (outgoing int64, err error) {
	var seats int
	err = tx.QueryRowContext(ctx, `SELECT seats FROM concerts WHERE id = $1`, b.Concert).Scan(&seats)
	if err != nil {
		return 0, notFound(err)
	}
	for _, seat := range slices.Sorted(slices.Values(b.Seats)) {
		if seat < 1 || seat > seats {
			return 0, ErrNoSeat
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO sold (concert, seat, booking) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			b.Concert, seat, b.ID)
		if free, err := changed(r, err); err != nil {
			return 0, err
		} else if !free {
			return 0, ErrSold
		}
	}
	return writeOutgoing(ctx, tx, KindSeats, strconv.FormatInt(b.Concert, 10))
}

// Booking returns a booking, or ErrNotFound.
func (s *Store) Booking(ctx context.Context, id string) (Booking, error) {
	return booking(ctx, s.db, id)
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func booking(ctx context.Context, q querier, id string) (Booking, error) {
	b := Booking{ID: id}
	err := q.QueryRowContext(ctx, `SELECT concert, person FROM bookings WHERE id = $1`, id).Scan(&b.Concert, &b.Person)
	if err != nil {
		return b, notFound(err)
	}
	rows, err := q.QueryContext(ctx, `SELECT seat FROM sold WHERE booking = $1 ORDER BY seat`, id)
	b.Seats, err = collect(rows, err, func() (int, error) {
		var seat int
		err := rows.Scan(&seat)
		return seat, err
	})
	return b, err
}

// SoldSeat is a row of sold.
type SoldSeat struct {
	Concert int64
	Seat    int
	Booking string
}

// AllSold returns the sold seats of all concerts.
func (s *Store) AllSold(ctx context.Context) ([]SoldSeat, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT concert, seat, booking FROM sold`)
	return collect(rows, err, func() (SoldSeat, error) {
		var one SoldSeat
		err := rows.Scan(&one.Concert, &one.Seat, &one.Booking)
		return one, err
	})
}
