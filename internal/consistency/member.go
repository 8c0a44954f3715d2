package consistency

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/internal/faultlink"
)

// Env is the environment variable with the Config of a process of the test binary.
const Env = "NEARSIDE_CONSISTENCY_PROCESS"

// member is a place in the fleet: its current process, and its links.
type member struct {
	t      testing.TB
	config Config // of the process
	links  []*faultlink.Link

	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
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
	t.Cleanup(m.kill)
	return m
}

// start starts a process as that instance, and returns when the process reports that it
// runs.
func (m *member) start(instance int, dir string) {
	m.t.Helper()
	m.config.Instance = instance
	m.config.Seed += uint64(instance)
	m.config.File = filepath.Join(dir, fmt.Sprintf("%03d.jsonl", instance))
	config, err := json.Marshal(m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	m.cmd = exec.Command(self)
	m.cmd.Env = append(os.Environ(), Env+"="+string(config))
	m.cmd.Stderr = io.Discard // go-redis reports each dial that fails
	stdin, err := m.cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.stdin, m.out = stdin, bufio.NewReader(stdout)
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	if said := m.hear(); said != "running" {
		m.t.Fatalf("process %d said %q", instance, said)
	}
}

// kill ends the process with SIGKILL.
func (m *member) kill() {
	if m.cmd == nil || m.cmd.Process == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.stdin.Close()
	_ = m.cmd.Wait()
}

// tell sends a command to the process. Its answer is read by hear.
func (m *member) tell(command string) {
	m.t.Helper()
	if _, err := fmt.Fprintln(m.stdin, command); err != nil {
		m.t.Errorf("process %d: %v", m.config.Instance, err)
	}
}

func (m *member) hear() string {
	line, _ := m.out.ReadString('\n') // at the end of the output, the rest of it
	return strings.TrimSpace(line)
}
