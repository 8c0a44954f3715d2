package peers_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/internal/document"
)

var countHits = flag.Bool("hits", false, "count the hits of generated traces, for docs/performance.md")

// TestHitRatios counts the hits of bounded caches on the same traces. Nothing is timed, and so
// the machine may be busy.
func TestHitRatios(t *testing.T) {
	if !*countHits {
		t.Skip("no figures without -hits")
	}
	var b strings.Builder
	b.WriteString("| trace | capacity |")
	for _, c := range bounded {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(bounded)) + "\n")
	for _, tr := range traces() {
		for _, capacity := range []int{1000, 10_000} {
			reads := tr.make(capacity)
			fmt.Fprintf(&b, "| %s | %d |%s\n", tr.name, capacity, hitRatios(t, capacity, reads))
		}
	}
	b.WriteString("\n" + costs(t))
	fmt.Println(b.String())
	if *docs == "" || t.Failed() {
		return
	}
	if err := document.Write(filepath.Join(*docs, "performance.md"), "hit-ratios", b.String()); err != nil {
		t.Error(err)
	}
}

// hitRatios returns the cells of all caches. It marks the highest.
func hitRatios(t *testing.T, capacity int, reads []int) string {
	percent := make([]string, len(bounded))
	of := make([]float64, len(bounded))
	for i, c := range bounded {
		of[i] = hitRatio(c.open(t, capacity), reads)
		percent[i] = fmt.Sprintf("%.1f", 100*of[i])
	}
	highest := slices.Max(of)
	var cells strings.Builder
	for i, p := range percent {
		if of[i] == highest {
			p = "**" + p + "**"
		}
		fmt.Fprintf(&cells, " %s |", p)
	}
	return cells.String()
}

// hitRatio reads through a cache: a miss adds the key.
func hitRatio(c boundedCache, reads []int) float64 {
	hits := 0
	for _, key := range reads {
		if c.get(key) {
			hits++
		} else {
			c.add(key)
		}
	}
	return float64(hits) / float64(len(reads))
}
