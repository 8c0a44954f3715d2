// Package repository is a repository over database/sql with a cache in front, to
// be copied: reads go through the cache, writes go to the database and then
// invalidate.
package repository

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
)

// Table creates what Users reads and writes.
const Table = `CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)`

// User is a row of the table. What Find returns is shared with other callers: if
// User had pointers, slices or maps, what they lead to would be read-only.
type User struct {
	ID   int64
	Name string
}

// Users reads and writes users. It is safe for concurrent use.
type Users struct {
	db    *sql.DB
	cache *cache.Cache[int64, User]
}

// NewUsers returns a repository over db, whose remote tier is remote: a
// redis.Store, which one service needs once, for all its repositories. The caller
// closes db and remote, after Users.
func NewUsers(db *sql.DB, remote cache.Remote) (*Users, error) {
	users, err := cache.New(cache.Options[int64, User]{
		Name:   "users",
		Schema: 1, // to be raised with every change of User
		TTL:    10 * time.Minute,
		MaxAge: time.Hour, // so old can a name be after a write that nobody announced

		// An id that does not exist costs a query too, and is asked for again.
		// Create invalidates, so this can be longer than one would dare else.
		NotFoundTTL: time.Minute,

		// The longest that this instance can miss what another one wrote.
		Local:  local.Options{MaxEntries: 10_000, TTL: 5 * time.Second},
		Remote: remote,
	})
	if err != nil {
		return nil, err
	}
	return &Users{db: db, cache: users}, nil
}

// Close waits for the loads that run.
func (u *Users) Close() error { return u.cache.Close() }

// Find returns the user of an id, or cache.ErrNotFound.
func (u *Users) Find(ctx context.Context, id int64) (User, error) {
	return u.cache.GetOrLoad(ctx, id, u.selectByID)
}

// selectByID is what Find costs when neither tier knows the id. Its ctx is not
// that of one caller but the load's, which all who wait share.
//
// It must read what is committed, from a primary: from a replica that lags, it
// would put the old row back after an Invalidate.
func (u *Users) selectByID(ctx context.Context, id int64) (User, error) {
	user := User{ID: id}
	err := u.db.QueryRowContext(ctx, `SELECT name FROM users WHERE id = ?`, id).Scan(&user.Name)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, cache.ErrNotFound // which the cache remembers; every other error it only passes on
	}
	return user, err
}

// Create adds a user. It invalidates because the id may be remembered as not
// found. A *cache.RemoteError comes with the user, who exists all the same; other
// instances may not see that before NotFoundTTL has passed.
func (u *Users) Create(ctx context.Context, name string) (User, error) {
	user := User{Name: name}
	err := u.db.QueryRowContext(ctx, `INSERT INTO users (name) VALUES (?) RETURNING id`, name).Scan(&user.ID)
	if err != nil {
		return User{}, fmt.Errorf("create user: %w", err)
	}
	return user, u.cache.Invalidate(ctx, user.ID)
}

// Rename changes a user's name, or returns cache.ErrNotFound.
//
// It invalidates when the transaction is over, never within: a reader between
// the two would load the old name, and the cache would keep it. It invalidates
// after an error too, because a commit whose reply was lost may have been made.
//
// A *cache.RemoteError and no other error means that the name is changed and
// that Redis was not told: this instance reads the new name, others may read the
// old one until MaxAge. To repeat the call is the remedy, and harmless.
func (u *Users) Rename(ctx context.Context, id int64, name string) error {
	err := u.updateName(ctx, id, name)
	return errors.Join(err, u.cache.Invalidate(ctx, id))
}

func (u *Users) updateName(ctx context.Context, id int64, name string) error {
	tx, err := u.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("rename user: %w", err)
	}
	defer tx.Rollback() // does nothing after the commit
	var found int64
	err = tx.QueryRowContext(ctx, `UPDATE users SET name = ? WHERE id = ? RETURNING id`, name, id).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return cache.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("rename user: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("rename user: %w", err)
	}
	return nil
}
