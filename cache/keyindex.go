package cache

import "sync"

// keyIndex finds keys by their names, for a cache with an Options.Key, and for the keys that
// this instance may hold. Keys that are strings or integers are parsed instead.
//
// The names are in a slice, and a cursor goes around the slice. Each add visits two names,
// and removes a name whose key this instance does not hold. So the work of a call is bounded,
// and the index has about one and a half times the names of the held keys at most: while the
// cursor passes n held keys, n/2 names are added.
type keyIndex[K comparable] struct {
	mu     sync.Mutex     // guards all below
	places map[string]int // of names in named
	named  []namedKey[K]
	cursor int // the place that add visits next
}

type namedKey[K comparable] struct {
	name string
	key  K
}

// looksPerAdd is how many names an add visits.
const looksPerAdd = 2

// add adds a key and its name. held reports whether this instance holds anything for a key.
func (x *keyIndex[K]) add(name string, key K, held func(K) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sweepLocked(name, held)
	if place, ok := x.places[name]; ok {
		x.named[place].key = key
		return
	}
	if x.places == nil {
		x.places = make(map[string]int)
	}
	x.places[name] = len(x.named)
	x.named = append(x.named, namedKey[K]{name, key})
}

// sweepLocked visits the next names, and removes those whose keys are not held. It keeps
// name.
func (x *keyIndex[K]) sweepLocked(name string, held func(K) bool) {
	for range min(looksPerAdd, len(x.named)) {
		if x.cursor >= len(x.named) {
			x.cursor = 0
		}
		if at := x.named[x.cursor]; at.name == name || held(at.key) {
			x.cursor++
		} else {
			x.removeLocked(x.cursor)
		}
	}
}

// removeLocked removes the name at a place, and moves the last name there.
func (x *keyIndex[K]) removeLocked(place int) {
	delete(x.places, x.named[place].name)
	last := len(x.named) - 1
	if place != last {
		x.named[place] = x.named[last]
		x.places[x.named[place].name] = place
	}
	x.named[last] = namedKey[K]{}
	x.named = x.named[:last]
}

// find returns the key of a name.
func (x *keyIndex[K]) find(name string) (key K, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	place, ok := x.places[name]
	if !ok {
		return key, false
	}
	return x.named[place].key, true
}
