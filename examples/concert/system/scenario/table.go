package scenario

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const line = "%-34s %8s %6s %8s %8s %8s   %8s %6s %8s %8s %8s   %s\n"

// PrintHeading prints the columns of the table.
func PrintHeading(out io.Writer) {
	fmt.Fprintf(out, "%-34s %-42s   %-42s\n", "", "with nearside", "without any cache")
	columns := []any{"scenario"}
	for range 2 {
		columns = append(columns, "requests", "failed", "p50", "p99", "queries")
	}
	fmt.Fprintf(out, line, append(columns, "")...)
}

// Print prints a row of the table.
func (r Row) Print(out io.Writer) {
	columns := []any{r.Name}
	for _, c := range []Cell{r.Cached, r.Plain} {
		columns = append(columns, fmt.Sprint(c.Requests), fmt.Sprint(c.Failures), short(c.P50), short(c.P99), fmt.Sprint(c.Queries))
	}
	text := fmt.Sprintf(line, append(columns, r.Cached.Remark)...)
	fmt.Fprintln(out, strings.TrimRight(text, " \n"))
}

// short is d to three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
