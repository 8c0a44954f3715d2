package chaos

import (
	"fmt"
	"strings"
	"time"
)

// head is the head of the table.
const head = `| fault | reads/s before / during / after | failed | stale during / 3 s after / later | oldest ms during / after | added ms p50 / p99 / max | added p99 µs, open / without Redis / without it before | slowest ms | loads/s before / during / after | of no cache | healed ms | no hit for ms | goroutines before / peak / left | lines stderr / log | missed |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`

// Table returns the rows as Markdown. If the first row is the one without a cache, the
// others show their loads beside it.
func Table(rows []Row) string {
	var b strings.Builder
	b.WriteString(head)
	for _, r := range rows {
		b.WriteString(r.format(rows[0]))
	}
	return b.String()
}

func (r Row) format(first Row) string {
	healed := "-"
	if r.heals() {
		healed = "never"
	}
	if r.Healed >= 0 {
		healed = ms(r.Healed)
	}
	added := r.During.Added
	cells := []string{
		r.Fault.Name,
		fmt.Sprintf("%.0f / %.0f / %.0f", r.Before.readRate(), r.During.readRate(), r.After.readRate()),
		fmt.Sprint(r.failed()),
		fmt.Sprintf("%d / %d / %d", r.During.Stale, r.After.Stale-r.Lost, r.Lost),
		fmt.Sprintf("%s / %s", ms(r.During.Oldest), ms(r.After.Oldest)),
		fmt.Sprintf("%s / %s / %s", ms(added.P50), ms(added.P99), ms(added.Max)),
		r.onceOpen(),
		ms(max(r.Before.Slowest, r.During.Slowest, r.After.Slowest)),
		fmt.Sprintf("%.0f / %.0f / %.0f", r.Before.loadRate(), r.During.loadRate(), r.After.loadRate()),
		r.besideNoCache(first),
		healed,
		r.withoutHits(),
		fmt.Sprintf("%d / %d / %d", r.Calm, r.Peak, r.Left),
		fmt.Sprintf("%d / %d", len(r.Stderr), len(r.Lines)),
		strings.Join(r.Missed(), ", "),
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// onceOpen returns three 99th percentiles of the time of calls beyond their loads, for a row with
// a fault that was long enough: once the breakers were open; of the instance without Redis in the
// same time; and of that instance before the fault.
func (r Row) onceOpen() string {
	if r.Open.Count == 0 {
		return "-"
	}
	return fmt.Sprint(r.Open.P99.Microseconds(), " / ", r.Beside.P99.Microseconds(), " / ", r.Calmly.P99.Microseconds())
}

// withoutHits returns the longest time without a hit, of a row that can have hits.
func (r Row) withoutHits() string {
	if r.Fault.always && r.Healed < 0 {
		return "-"
	}
	return ms(r.Silent)
}

// besideNoCache returns the loads during the fault as a fraction of those without a cache.
func (r Row) besideNoCache(first Row) string {
	if first.Fault.Name != Faults()[0].Name {
		return ""
	}
	return fmt.Sprintf("%.2f", r.During.loadRate()/first.During.loadRate())
}

func (p Phase) readRate() float64 { return float64(p.Reads) / p.Took.Seconds() }

func (p Phase) loadRate() float64 { return float64(p.Loads) / p.Took.Seconds() }

// ms returns a duration in milliseconds, with two digits below ten.
func ms(d time.Duration) string {
	switch f := float64(d) / float64(time.Millisecond); {
	case d == 0:
		return "0"
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	default:
		return fmt.Sprintf("%.0f", f)
	}
}
