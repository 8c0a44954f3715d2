package chaos

import (
	"fmt"
	"strings"
)

// outageReaders is how many readers there are in the long outage.
const outageReaders = 64

// Outages returns the services whose loads are compared in a long outage of Redis: without a
// cache, with nearside, and with nearside and all of its windows.
func Outages() []Fault {
	side := func(name string, f Fault, change func(*Config)) Fault {
		on := f.on
		f.Name = name
		f.on = func(s *scene) {
			on(s)
			s.config.Readers, s.config.Local = outageReaders, 0
			change(&s.config)
		}
		return f
	}
	bare, refused := controls()[0], outages()[0]
	return []Fault{
		side("no cache", bare, func(*Config) {}),
		side("nearside", refused, func(*Config) {}),
		side("nearside, with its windows", refused, func(c *Config) { c.Windows = true }),
	}
}

// Loads returns the loads of the sides of an outage as Markdown.
func Loads(sides []Row) string {
	var b strings.Builder
	b.WriteString("| | reads/s before / during | loads/s before / during / after | loads in the outage | of no cache | failed reads |\n|---|---|---|---|---|---|\n")
	for _, r := range sides {
		fmt.Fprintf(&b, "| %s | %.0f / %.0f | %.0f / %.0f / %.0f | %d | %.3f | %d |\n", r.Fault.Name,
			r.Before.readRate(), r.During.readRate(), r.Before.loadRate(), r.During.loadRate(), r.After.loadRate(),
			r.During.Loads, r.During.loadRate()/sides[0].During.loadRate(), r.failed())
	}
	return b.String()
}
