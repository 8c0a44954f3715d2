package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// product is a row of the catalog, and what the caches keep.
type product struct {
	ID    int64
	Name  string
	Cents int64
}

// catalog is the source: a table of products in a SQLite file.
type catalog struct {
	db      *sql.DB
	dir     string
	queries atomic.Int64 // runs of selectByID
}

const schema = `
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL);
INSERT INTO products
	WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < %d)
	SELECT id, 'product ' || id, id * 100 FROM ids`

// seeded is the product that a new catalog has under id.
func seeded(id int64) product {
	return product{ID: id, Name: fmt.Sprintf("product %d", id), Cents: id * 100}
}

// newCatalog creates a catalog of n products in a temporary file.
func newCatalog(n int64) (*catalog, error) {
	dir, err := os.MkdirTemp("", "nearside-quickstart-")
	if err != nil {
		return nil, err
	}
	c := &catalog{dir: dir}
	c.db, err = sql.Open("sqlite", filepath.Join(dir, "catalog.db")+"?_pragma=busy_timeout(5000)")
	if err == nil {
		_, err = c.db.Exec(fmt.Sprintf(schema, n))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create the catalog: %w", err), c.close())
	}
	return c, nil
}

// selectByID is the loader: its signature is the one that GetOrLoad takes.
func (c *catalog) selectByID(ctx context.Context, id int64) (product, error) {
	c.queries.Add(1)
	p := product{ID: id}
	err := c.db.QueryRowContext(ctx, `SELECT name, cents FROM products WHERE id = ?`, id).Scan(&p.Name, &p.Cents)
	return p, err
}

func (c *catalog) setPrice(ctx context.Context, id, cents int64) error {
	_, err := c.db.ExecContext(ctx, `UPDATE products SET cents = ? WHERE id = ?`, cents, id)
	return err
}

// close removes the file.
func (c *catalog) close() error {
	var err error
	if c.db != nil {
		err = c.db.Close()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
