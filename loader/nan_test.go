package loader_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"testing"

	"github.com/nearside-go/nearside/loader"
)

// TestKeyThatDoesNotEqualItselfSharesNoFlight: each caller has its own, and none is left.
func TestKeyThatDoesNotEqualItselfSharesNoFlight(t *testing.T) {
	var g loader.Group[float64, *[1 << 16]byte]
	var runs sync.WaitGroup
	errLoad := errors.New("no")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 2000 {
		runs.Go(func() {
			v, err := g.Do(context.Background(), math.NaN(), loader.Work[*[1 << 16]byte]{
				Load: func(context.Context, *loader.Flight[*[1 << 16]byte]) (*[1 << 16]byte, error) {
					if i%2 == 0 {
						return nil, errLoad
					}
					return new([1 << 16]byte), nil
				},
			})
			if (i%2 == 0) != (err == errLoad) || (v == nil) != (err != nil) {
				t.Errorf("Do: %v", err)
			}
		})
		if i%100 == 0 {
			g.Doom(math.NaN())
			g.DetachAnd(math.NaN(), func() {})
			runs.Wait()
		}
	}
	runs.Wait()
	g.Wait()
	if g.Has(math.NaN()) {
		t.Error("there is a flight")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > before.HeapAlloc+10<<20 {
		t.Errorf("the heap grew by %d bytes", after.HeapAlloc-before.HeapAlloc)
	}
	runtime.KeepAlive(&g)
}
