// Package repository is a repository over database/sql with a cache in front, to
// be copied. Reads go through the cache. Writes go to the database, and then
// invalidate the key.
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

// Table creates the table of Users.
const Table = `CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)`

// User is a row of the table. Find returns the same User to several callers: if
// User had pointers, slices or maps, their contents would be read-only.
type User struct {
	ID   int64
	Name string
}

// Users reads and writes users. It is safe for concurrent use.
type Users struct {
	db    *sql.DB
	cache *cache.Cache[int64, User]
}

// NewUsers returns a repository over db with the remote tier remote, a redis.Store.
// A service needs one Store for all its repositories. The caller closes db and
// remote, after Users.
func NewUsers(db *sql.DB, remote cache.Remote) (*Users, error) {
	users, err := cache.New(cache.Options[int64, User]{
		Name:   "users",
		Schema: 1, // to be raised with every change of User
		TTL:    10 * time.Minute,
		MaxAge: time.Hour, // the bound on an old name, if a write was never announced

		// A read of an id that does not exist costs a query, too. Create invalidates
		// the id, so the time can be long.
		NotFoundTTL: time.Minute,

		// The longest time for which this instance can serve a name that another
		// instance has changed, while this instance cannot read the log.
		Local:  local.Options{MaxEntries: 10_000, TTL: 5 * time.Second},
		Remote: remote,
	})
	if err != nil {
		return nil, err
	}
	return &Users{db: db, cache: users}, nil
}

// Close waits for the loads that are under way.
func (u *Users) Close() error { return u.cache.Close() }

// Find returns the user of an id, or cache.ErrNotFound.
func (u *Users) Find(ctx context.Context, id int64) (User, error) {
	return u.cache.GetOrLoad(ctx, id, u.selectByID)
}

// selectByID loads a user when neither tier has the id. All callers that wait share
// the load, and ctx is the context of the load.
//
// selectByID must read committed rows from a primary. A replica that lags would put
// the old row back into the cache after an Invalidate.
func (u *Users) selectByID(ctx context.Context, id int64) (User, error) {
	user := User{ID: id}
	err := u.db.QueryRowContext(ctx, `SELECT name FROM users WHERE id = ?`, id).Scan(&user.Name)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, cache.ErrNotFound // the cache remembers ErrNotFound, and no other error
	}
	return user, err
}

// Create adds a user. Create invalidates the id, because the cache may remember the
// id as not found. If Create returns a *cache.RemoteError, the user exists, and other
// instances may return cache.ErrNotFound until NotFoundTTL has passed.
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
// Rename invalidates after the end of the transaction. A reader between an earlier
// invalidation and the commit would load the old name, and the cache would keep the
// old name. Rename invalidates after an error, too, because a commit whose reply was
// lost may have been made.
//
// If the only error is a *cache.RemoteError, the name is changed, and Redis has not
// confirmed the invalidation: this instance reads the new name, and other instances
// may read the old name until MaxAge. Call Rename again; that is harmless.
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
