package repository_test

import (
	"context"
	"database/sql/driver"
	"strings"
	"sync/atomic"

	"modernc.org/sqlite"
)

// counting opens connections to one SQLite file and counts the SELECTs on them.
type counting struct {
	driver  sqlite.Driver
	path    string
	selects atomic.Int64
}

func (c *counting) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.path)
	return countingConn{conn, c}, err
}

func (c *counting) Driver() driver.Driver { return &c.driver }

// countingConn has only the methods of driver.Conn, so that database/sql
// prepares every statement.
type countingConn struct {
	driver.Conn
	counts *counting
}

func (c countingConn) Prepare(query string) (driver.Stmt, error) {
	if strings.HasPrefix(query, "SELECT") {
		c.counts.selects.Add(1)
	}
	return c.Conn.Prepare(query)
}
