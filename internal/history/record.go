package history

// All is the Instance of a fault that was in force for every instance.
const All = -1

// Read is a call that returned a version of a key. The versions of a key are 0, 1, 2 and so
// on, as the source counts its commits. Version 0 needs no commit.
type Read struct {
	Instance   int
	Key        string
	Version    int64
	Start, End int64
}

// Commit took the source from Version-1 to Version of a key, at some time from Start to
// End.
type Commit struct {
	Key        string
	Version    int64
	Start, End int64
}

// Invalidated is an invalidation of a key, of a tag of the key's value, or of the whole
// cache. It began after Version was committed, and returned nil at End.
type Invalidated struct {
	Instance   int // the caller; a number without reads for an outside caller
	Key        string
	Version    int64
	Start, End int64
}

// Fault is a fault of some kind that was in force from Start to End, for one instance or
// for [All]. A fault that was never mended ends at math.MaxInt64.
type Fault struct {
	Kind       string
	Instance   int
	Start, End int64
}

// Rest is the version of a key that a tier held at rest: at a time when no call and no
// delivery of an invalidation was under way any more.
type Rest struct {
	Tier     string // "local" or "redis"
	Instance int    // the owner of the local tier, or the reader of the remote one
	Key      string
	Version  int64
	At       int64
}

// History is a set of records, in no particular order. The zero value is a history without
// events.
type History struct {
	Reads       []Read
	Commits     []Commit
	Invalidated []Invalidated
	Faults      []Fault
	Rests       []Rest
}

// Merge adds the records of other histories to h.
func (h *History) Merge(others ...History) {
	for _, o := range others {
		h.Reads = append(h.Reads, o.Reads...)
		h.Commits = append(h.Commits, o.Commits...)
		h.Invalidated = append(h.Invalidated, o.Invalidated...)
		h.Faults = append(h.Faults, o.Faults...)
		h.Rests = append(h.Rests, o.Rests...)
	}
}
