package database

import (
	"encoding/gob"
	"time"
)

// Counts are the statements that a server has carried out.
type Counts struct {
	Reads      int64 // queries outside of transactions, which a cache can spare
	Others     int64
	Background int64 // statements of contexts that Background has made
}

// Sub returns the statements since an earlier count.
func (c Counts) Sub(earlier Counts) Counts {
	return Counts{c.Reads - earlier.Reads, c.Others - earlier.Others, c.Background - earlier.Background}
}

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
	Counts   Counts
}

func init() { gob.Register(time.Time{}) }
