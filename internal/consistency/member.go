package consistency

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/nearside-go/nearside/internal/child"
	"github.com/nearside-go/nearside/internal/faultlink"
)

// Env is the environment variable with the Config of a process of the test binary.
const Env = "NEARSIDE_CONSISTENCY_PROCESS"

// member is a place in the fleet: its current process, and its links.
type member struct {
	t       testing.TB
	config  Config // of the process
	links   []*faultlink.Link
	process *child.Process // nil before the first start
}

// newMember makes a member without a process, with a link to each server.
func newMember(t testing.TB, c Config, servers []string) *member {
	t.Helper()
	m := &member{t: t, config: c}
	m.config.Redis = make(map[string]string)
	for _, addr := range servers {
		link, err := faultlink.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = link.Close() })
		m.links = append(m.links, link)
		m.config.Redis[addr] = link.Addr()
	}
	return m
}

// start starts a process as that instance, and returns when the process reports that it
// runs.
func (m *member) start(instance int, dir string) {
	m.t.Helper()
	m.config.Instance = instance
	m.config.Seed += uint64(instance)
	m.config.File = filepath.Join(dir, fmt.Sprintf("%03d.jsonl", instance))
	m.process = child.Start(m.t, Env, m.config, io.Discard) // go-redis reports each dial that fails
	if said := m.process.Hear(); said != "running" {
		m.t.Fatalf("process %d said %q", instance, said)
	}
}
