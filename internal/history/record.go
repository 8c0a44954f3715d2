package history

// All is the Instance of a fault that was in force for every instance.
const All = -1

// Read is a call that returned a version of a key. The versions of a key are 0, 1,
// 2 and so on, as the source counts its commits; 0 needs no commit.
type Read struct {
	Instance   int
	Key        string
	Version    int64
	Start, End int64
}

// Commit took the source from Version-1 to Version of a key, at some time from
// Start to End.
type Commit struct {
	Key        string
	Version    int64
	Start, End int64
}

// Invalidated is an invalidation of a key, of a tag that the key has, or of all
// that a cache holds. It began after Version was committed, and returned nil at
// End.
type Invalidated struct {
	Instance   int // that was asked; a number of no reader's for one from outside
	Key        string
	Version    int64
	Start, End int64
}

// Fault says that a fault of some kind was in force from Start to End, for one
// instance or for [All]. One that was never mended ends at math.MaxInt64.
type Fault struct {
	Kind       string
	Instance   int
	Start, End int64
}

// Rest is what a tier held of a key, at a time when nothing was under way any
// more: no call, and no delivery of an invalidation.
type Rest struct {
	Tier     string // "local" or "redis"
	Instance int    // whose local tier it is, or that read it from the other
	Key      string
	Version  int64
	At       int64
}

// History is what was recorded, in no particular order. Its zero value is a
// history in which nothing happened.
type History struct {
	Reads       []Read
	Commits     []Commit
	Invalidated []Invalidated
	Faults      []Fault
	Rests       []Rest
}

// Merge adds the records of others to h.
func (h *History) Merge(others ...History) {
	for _, o := range others {
		h.Reads = append(h.Reads, o.Reads...)
		h.Commits = append(h.Commits, o.Commits...)
		h.Invalidated = append(h.Invalidated, o.Invalidated...)
		h.Faults = append(h.Faults, o.Faults...)
		h.Rests = append(h.Rests, o.Rests...)
	}
}
