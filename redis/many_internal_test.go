package redis

import "testing"

func TestPartsFitTheSizesOfTheirCache(t *testing.T) {
	var s sizes
	want := func(cache string, left, want int) {
		t.Helper()
		if n := s.fit(cache+":0:k", left); n != want {
			t.Errorf("of %d records of %s %d fit, want %d", left, cache, n, want)
		}
	}
	want("a", 7, 7)
	want("a", 5000, readPart)
	s.note("a:0:k", 100, 100*partBytes/50, false)
	want("a", 5000, 50)
	want("b", 5000, readPart)
	s.note("a:0:k", 50, 0, true) // no answer
	want("a", 5000, 25)
	s.note("a:0:k", 1, 0, true)
	want("a", 5000, 1)
	s.note("a:0:k", 1, 10, false)
	want("a", 5000, readPart)
}
