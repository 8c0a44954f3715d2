package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// outcome is what a step showed.
type outcome struct {
	answers tally
	loads   int64 // queries that reached the source
	took    time.Duration
	remark  string
}

// count adds reads to the answers, all of which should have returned want.
func (o *outcome) count(want product, answers ...answer) error {
	for _, a := range answers {
		if a.product != want {
			return fmt.Errorf("read %+v, which should be %+v", a.product, want)
		}
		o.answers[a.from]++
	}
	return nil
}

// tally counts reads by the tier that answered them.
type tally [4]int

// String tells who answered, and how often if there was more than one read.
func (t tally) String() string {
	var parts []string
	total := 0
	for _, column := range []struct {
		tier cache.Tier
		name string
	}{{tierSource, "source"}, {cache.TierRemote, "redis"}, {cache.TierLocal, "local"}} {
		n := t[column.tier]
		total += n
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, column.name))
		}
	}
	if total == 1 {
		return strings.TrimPrefix(parts[0], "1 ")
	}
	return strings.Join(parts, ", ")
}

func printHeading(w io.Writer, redisName string) {
	fmt.Fprintln(w, "nearside: instances A and B, each with a local tier of its own, share a Redis.")
	fmt.Fprintf(w, "Redis:    %s\n", redisName)
	fmt.Fprintln(w, "Source:   SQLite, in a temporary file. Loads are the queries that reach it.")
	fmt.Fprintln(w)
	printColumns(w, "step", "answered by", "took", "loads", "")
}

func printRow(w io.Writer, title string, o outcome) {
	printColumns(w, title, o.answers.String(), short(o.took), strconv.FormatInt(o.loads, 10), o.remark)
}

func printColumns(w io.Writer, step, answers, took, loads, remark string) {
	line := fmt.Sprintf("%-40s  %-21s  %7s  %5s  %s", step, answers, took, loads, remark)
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// short is d to three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
