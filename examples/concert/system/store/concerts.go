package store

import (
	"context"
	"database/sql"
)

// Concert is a row of concerts.
type Concert struct {
	ID       int64
	Category int64
	Title    string
	Venue    string
	Seats    int
	Cents    int64
	Version  int64 // counts the changes
}

// Category is a row of categories.
type Category struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Notice is a message of the organizers about a concert.
type Notice struct {
	ID   int64  `json:"id"`
	Text string `json:"text"`
}

const concertColumns = `id, category, title, venue, seats, cents, version`

func scanConcert(row interface{ Scan(...any) error }) (Concert, error) {
	var c Concert
	err := row.Scan(&c.ID, &c.Category, &c.Title, &c.Venue, &c.Seats, &c.Cents, &c.Version)
	return c, err
}

// Concert returns a concert, or ErrNotFound.
func (s *Store) Concert(ctx context.Context, id int64) (Concert, error) {
	c, err := scanConcert(s.db.QueryRowContext(ctx, `SELECT `+concertColumns+` FROM concerts WHERE id = $1`, id))
	return c, notFound(err)
}

// ConcertsOf returns the concerts of a category.
func (s *Store) ConcertsOf(ctx context.Context, category int64) ([]Concert, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+concertColumns+` FROM concerts WHERE category = $1 ORDER BY id LIMIT 20`, category)
	return collect(rows, err, func() (Concert, error) { return scanConcert(rows) })
}

// Categories returns all categories.
func (s *Store) Categories(ctx context.Context) ([]Category, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, name FROM categories ORDER BY id`)
	return collect(rows, err, func() (Category, error) {
		var c Category
		err := rows.Scan(&c.ID, &c.Name)
		return c, err
	})
}

// Notices returns the notices of a concert, the newest first.
func (s *Store) Notices(ctx context.Context, concert int64) ([]Notice, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, text FROM notices WHERE concert = $1 ORDER BY id DESC LIMIT 5`, concert)
	return collect(rows, err, func() (Notice, error) {
		var n Notice
		err := rows.Scan(&n.ID, &n.Text)
		return n, err
	})
}

// SoldSeats returns the numbers of the sold seats of a concert, in order.
func (s *Store) SoldSeats(ctx context.Context, concert int64) ([]int, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT seat FROM sold WHERE concert = $1 ORDER BY seat`, concert)
	return collect(rows, err, func() (int, error) {
		var seat int
		err := rows.Scan(&seat)
		return seat, err
	})
}

// SetPrice changes the price of a concert, or returns ErrNotFound.
func (s *Store) SetPrice(ctx context.Context, id, cents int64) error {
	return affected(s.db.ExecContext(ctx, `UPDATE concerts SET cents = $1, version = version + 1 WHERE id = $2`, cents, id))
}

// AddNotice adds a notice to a concert, or returns ErrNotFound. Calls with the same name and text
// add one notice. If the concert has a notice with the name and another text, AddNotice returns
// ErrTaken.
func (s *Store) AddNotice(ctx context.Context, concert int64, name, text string) error {
	added, err := changed(s.db.ExecContext(ctx, `
		INSERT INTO notices (concert, name, text) SELECT id, $2, $3 FROM concerts WHERE id = $1
		ON CONFLICT DO NOTHING`, concert, name, text))
	if err != nil || added {
		return err
	}
	var there string
	err = s.db.QueryRowContext(ctx, `SELECT text FROM notices WHERE concert = $1 AND name = $2`, concert, name).Scan(&there)
	if err == nil && there != text {
		err = ErrTaken
	}
	return notFound(err)
}

// collect reads all rows. The result is empty and not nil if there are none.
func collect[T any](rows *sql.Rows, err error, scan func() (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		one, err := scan()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
