package peers_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	deleteTurns    = 3
	maxDeleteTurns = 30
	deletesOfTurn  = 100
	reported       = 50 // instances of the row
)

// deletes measures the processor time of Redis for a delete, by the number of instances. The
// commands by which the other instances learn of the delete are included.
func deletes(t *testing.T, r *report) {
	all := peers.All()
	all[0], all[1] = all[1], all[0] // the first one only deletes the key
	lines := make([]line, len(all))
	for _, instances := range []int{1, 2, 10, reported} {
		var costs []*timed
		for i, p := range all {
			c := &timed{name: p.Name, ns: deleteCosts(t, p, instances)}
			costs = append(costs, c)
			lines[i].name = p.Name
			lines[i].add(float64(instances), median(c.ns)/1000)
		}
		if instances == reported {
			r.row(fmt.Sprintf("processor time of Redis for a delete, %d instances", instances), costs)
		}
	}
	r.plot(t, "delete-instances.svg", plotted{
		title: "Processor time of Redis for a delete, by the number of instances", x: "instances", y: "µs", logX: true, least: 1, lines: lines,
	})
}

// deleteCosts returns the nanoseconds of Redis for a delete in each turn.
func deleteCosts(t *testing.T, p peers.Peer, instances int) (ns []float64) {
	server, src := redistest.Start(t), &source{}
	var fleet []peers.Instance
	for range instances {
		i := open(t, p, server, peers.Settings{Load: src.load})
		mustGet(t, i, "warm")
		fleet = append(fleet, i)
	}
	<-time.After(time.Second) // for what instances do when they are new
	for range maxDeleteTurns {
		before, failed := busy(t, server), 0
		for n := range deletesOfTurn {
			if err := fleet[0].Delete(t.Context(), "user:"+strconv.Itoa(n)); err != nil {
				failed++
			}
		}
		settle()
		if failed > 0 {
			continue // Redis has not answered within a budget
		}
		ns = append(ns, (busy(t, server)-before)*1e9/deletesOfTurn)
		if len(ns) == deleteTurns {
			return ns
		}
	}
	t.Fatalf("%s: deletes failed in all but %d of %d turns", p.Name, len(ns), maxDeleteTurns)
	return nil
}
