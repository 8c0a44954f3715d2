package cache

import "sync"

// keyIndex leads from names back to the keys of a cache with a Key function of its own,
// for the keys that this instance may hold. Strings and integers are parsed instead.
//
// The names lie in a slice, around which a cursor goes. Each add looks at two of them and
// removes those of which nothing is held any more. So no call does more than that, and
// there are never many more than one and a half times the names of what is held: while
// the cursor passes n that are held, n/2 are added.
type keyIndex[K comparable] struct {
	mu     sync.Mutex     // guards all below
	places map[string]int // from a name to its place in named
	named  []namedKey[K]
	cursor int // the place that add looks at next
}

type namedKey[K comparable] struct {
	name string
	key  K
}

// looksPerAdd is how many names an add looks at.
const looksPerAdd = 2

// add notes that key is written as name. Held reports whether this instance holds
// something for a key.
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

// sweepLocked removes those of the next names of which nothing is held, but not name.
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

// removeLocked removes the name at a place, which the last one takes.
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

// find returns the key that is written as name.
func (x *keyIndex[K]) find(name string) (key K, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	place, ok := x.places[name]
	if !ok {
		return key, false
	}
	return x.named[place].key, true
}
