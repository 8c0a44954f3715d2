package local

import "testing"

func TestDeparturesAreNotedForAWhile(t *testing.T) {
	var d departures
	const entries = 16
	hash := func(i uint64) uint64 { return i<<32 | i<<16 }
	if d.has(hash(1), entries) {
		t.Error("a key is noted before any has left")
	}
	for i := uint64(1); i <= 100; i++ {
		d.add(hash(i), entries)
		for back := uint64(0); back < 20 && back < i; back++ {
			if got, want := d.has(hash(i-back), entries), back < entries/kout; got != want {
				t.Fatalf("%d others have left: noted %v, want %v", back, got, want)
			}
		}
		if d.has(hash(i+1), entries) {
			t.Fatal("a key is noted that has not left")
		}
	}
	if got := len(d.places); got != 2*entries {
		t.Errorf("%d places for %d entries, want %d", got, entries, 2*entries)
	}
}

// TestDeparturesOfOnePlace: the later one has the place.
func TestDeparturesOfOnePlace(t *testing.T) {
	var d departures
	d.add(1<<32, 16)
	d.add(2<<32, 16)
	if d.has(1<<32, 16) || !d.has(2<<32, 16) {
		t.Errorf("the earlier is noted: %v, the later: %v", d.has(1<<32, 16), d.has(2<<32, 16))
	}
}

// TestDeparturesGrowWithTheShard and forget the keys of the smaller one.
func TestDeparturesGrowWithTheShard(t *testing.T) {
	var d departures
	d.add(1<<32, 16)
	d.add(2<<32, 1000)
	if d.has(1<<32, 1000) || !d.has(2<<32, 1000) || len(d.places) != 1024 {
		t.Errorf("the earlier is noted: %v, the later: %v, %d places", d.has(1<<32, 16), d.has(2<<32, 1000), len(d.places))
	}
	d.add(3<<32, 1)
	if !d.has(3<<32, 16) || len(d.places) != 1024 {
		t.Errorf("noted: %v, %d places", d.has(3<<32, 16), len(d.places))
	}
}
