package peers_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

// cell is what a scenario found out about a library.
type cell struct {
	text   string
	broken []string // the promises of nearside that do not hold for the library
}

// want notes a promise that does not hold.
func (c *cell) want(holds bool, format string, args ...any) {
	if !holds {
		c.broken = append(c.broken, fmt.Sprintf(format, args...))
	}
}

type table struct {
	peers []peers.Peer
	rows  []row
}

type row struct {
	title string
	cells []cell
}

func newTable(all []peers.Peer) *table { return &table{peers: all} }

func (t *table) add(title string, cells []cell) { t.rows = append(t.rows, row{title, cells}) }

// String returns the table as Markdown.
func (t *table) String() string {
	var b strings.Builder
	b.WriteString("| |")
	for _, p := range t.peers {
		fmt.Fprintf(&b, " %s |", p.Name)
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(t.peers)+1) + "\n")
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s |", r.title)
		for _, c := range r.cells {
			fmt.Fprintf(&b, " %s |", c.text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// versions returns a sentence with all that was measured, and on what. It asks the go
// command, because the build information of a test binary has no modules.
func versions(t *testing.T) string {
	t.Helper()
	args := []string{"list", "-m", "-f", "{{if not .Main}}{{.Path}} {{.Version}}{{end}}"}
	for _, p := range peers.All()[1:] {
		args = append(args, p.Module)
	}
	args = append(args, "github.com/redis/go-redis/v9")
	for _, l := range lrus {
		args = append(args, l.module)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("go list: %v", err)
	}
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	info, err := redistest.Start(t).Client().InfoMap(t.Context(), "server").Result()
	if err != nil {
		t.Errorf("INFO: %v", err)
	}
	return fmt.Sprintf("Measured on %s on %d cores, %s/%s, with %s, Redis %s, %s. Callers have a deadline of %g s.",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		info["Server"]["redis_version"], strings.Join(modules, ", "), deadline.Seconds())
}

// short returns a duration with two digits, or as 0 if it is less than 0.05 ms.
func short(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 1000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 9.95:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 0.05:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return "0"
	}
}

func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
