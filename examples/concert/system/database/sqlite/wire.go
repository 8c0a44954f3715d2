package sqlite

import (
	"encoding/gob"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database"
)

type operation int

const (
	opPing operation = iota
	opQuery
	opExec
	opBegin
	opCommit
	opRollback
	opCount
)

// request is a message of a client.
type request struct {
	Op         operation
	SQL        string
	Args       []cell
	Background bool
}

// cell is a value of a column or an argument. A cell with a nil V is NULL.
type cell struct{ V any }

// response answers one request.
type response struct {
	Err      string
	Columns  []string
	Rows     [][]cell
	Affected int64
	LastID   int64
	Counts   database.Counts
}

func init() { gob.Register(time.Time{}) }
