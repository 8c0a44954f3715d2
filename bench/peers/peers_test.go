package peers_test

import (
	"context"
	"flag"
	"fmt"
	"testing"

	jetlog "github.com/mgtv-tech/jetcache-go/logger"
	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

// held is the library whose cells have to be as the README promises for nearside. With
// another library than nearside the test has to fail.
var held = flag.String("held", peers.Nearside, "the `library` that is held to the promises of nearside")

// stalls are taken off the bounds of times: the machine may be busy.
var stalls = redistest.WatchStalls()

// scenario fills one row of the table. All libraries run it.
type scenario struct {
	name  string
	row   string
	waits bool // uses little of the processor, so that the libraries can run together
	run   func(t *testing.T, p peers.Peer) cell
}

var scenarios = []scenario{
	{"StaleFill", "a load that began before a delete fills after it: the old value stays", false, staleFill},
	{"Delete", "B deletes, A still serves its local copy", false, staleCopy},
	{"Stampede", fmt.Sprintf("%d instances x %d callers, one cold key, %d ms load: loads (median wait, worst)", instances, callers, loadTime.Milliseconds()), false, stampede},
	{"Refused", "Redis refuses connections: a call costs", true, refused},
	{"Silent", "Redis accepts and never answers: a call costs", true, silent},
	{"Cancel", "the first caller's context is cancelled: the other callers", false, cancelled},
	{"Renew", "reads renew the TTL in Redis, up to a maximum age", true, renewed},
}

func TestPeers(t *testing.T) {
	redistest.Require(t)
	silence()
	all := peers.All()
	table := newTable(all)
	hits := localHits(t, all)
	for _, s := range scenarios {
		table.add(s.row, runAll(t, s, all))
		if s.name == "Cancel" {
			table.add("a local hit, decoded", hits.cells)
		}
	}
	judge(t, table)
	fmt.Printf("\n%s\n%s\n\n%s\n\n%s\n\n", table, hits.bare, versions(t), notes)
}

const notes = "jetcache-go runs with SyncLocal over a channel of Redis, as in its README. " +
	"rueidisaside is not measured."

// runAll returns the cells of a row.
func runAll(t *testing.T, s scenario, all []peers.Peer) []cell {
	cells := make([]cell, len(all))
	t.Run(s.name, func(t *testing.T) {
		for i, p := range all {
			t.Run(p.Name, func(t *testing.T) {
				if s.waits {
					t.Parallel()
				}
				cells[i] = s.run(t, p)
				t.Log(cells[i].text)
			})
		}
	})
	return cells
}

// judge fails t if the library that is held to the promises breaks one.
func judge(t *testing.T, table *table) {
	for _, row := range table.rows {
		for i, c := range row.cells {
			if table.peers[i].Name != *held {
				continue
			}
			for _, broken := range c.broken {
				t.Errorf("%s: %s: %s", *held, row.title, broken)
			}
		}
	}
}

// silence stops the loggers that write a line for each command that fails.
func silence() {
	goredis.SetLogger(mute{})
	jetlog.SetDefaultLogger(muteLevels{})
}

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

type muteLevels struct{}

func (muteLevels) Debug(string, ...any) {}
func (muteLevels) Info(string, ...any)  {}
func (muteLevels) Warn(string, ...any)  {}
func (muteLevels) Error(string, ...any) {}
