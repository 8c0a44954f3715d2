package cache

import (
	"reflect"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// TestEveryCounterIsReported: each counter changes the Stats, and each count of the Stats changes
// with a counter, unless it is not of the cache's own counters.
func TestEveryCounterIsReported(t *testing.T) {
	c, err := New(Options[string, string]{Name: "test", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	changed := map[string]bool{"LocalEvictions": true} // of the local tier
	counters := reflect.ValueOf(&c.counters).Elem()
	for i := range counters.NumField() {
		before := reflect.ValueOf(c.Stats())
		(*atomic.Uint64)(unsafe.Pointer(counters.Field(i).UnsafeAddr())).Add(1)
		after, reported := reflect.ValueOf(c.Stats()), false
		for j := range after.NumField() {
			if after.Field(j).Interface() != before.Field(j).Interface() {
				changed[after.Type().Field(j).Name], reported = true, true
			}
		}
		if !reported {
			t.Errorf("%s changes no field of Stats", counters.Type().Field(i).Name)
		}
	}
	for f := range reflect.TypeFor[Stats]().Fields() {
		if f.Type.Kind() == reflect.Uint64 && !changed[f.Name] {
			t.Errorf("Stats.%s changes with no counter", f.Name)
		}
	}
}
