package redis

import (
	"fmt"
	"testing"
)

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

// While nothing is sent, or no connection is made, nothing is learned about sizes.
func TestARefusedPartSaysNothingAboutSizes(t *testing.T) {
	t.Parallel()
	s, err := Open("redis://127.0.0.1:1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	keys := make([]string, readPart)
	for i := range keys {
		keys[i] = fmt.Sprint("a:0:k", i)
	}
	for range 20 {
		for i, reply := range s.GetMany(t.Context(), keys, false) {
			if reply.Err == nil {
				t.Fatalf("key %d was read", i)
			}
		}
	}
	if n := s.sizes.fit("a:0:k", readPart); n != readPart {
		t.Errorf("%d records fit into the next part, want %d", n, readPart)
	}
}
