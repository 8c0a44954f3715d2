package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// podman runs containers that share nothing with others of this machine: all that they have is
// in a folder.
type podman struct {
	t   *testing.T
	dir string
	env []string
}

// The settings work where there is neither systemd, nor version 2 of cgroups, nor overlayfs.
const (
	storageConf = `[storage]
driver = "vfs"
graphroot = "%[1]s/storage"
runroot = "%[1]s/run"
`
	containersConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "%[1]s/tmp"
volume_path = "%[1]s/volumes"
`
	// cleanUp waits for the end of its input, which the test holds. So no container is left,
	// however the test ends.
	cleanUp = `cat; podman pod rm -f -t 0 -a >cleanup.log 2>&1 && rm -rf "$PWD"`
)

// newPodman returns a podman whose containers end with the test.
func newPodman(t *testing.T) *podman {
	t.Helper()
	dir, err := os.MkdirTemp("", "nearside-")
	if err != nil {
		t.Fatal(err)
	}
	p := &podman{t: t, dir: dir, env: append(os.Environ(),
		"CONTAINERS_STORAGE_CONF="+filepath.Join(dir, "storage.conf"),
		"CONTAINERS_CONF="+filepath.Join(dir, "containers.conf"))}
	p.write("storage.conf", fmt.Appendf(nil, storageConf, dir))
	p.write("containers.conf", fmt.Appendf(nil, containersConf, dir))
	end := p.command("sh", "-c", cleanUp)
	end.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C does not reach it
	input, err := end.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := end.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		if err := end.Wait(); err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "cleanup.log"))
			t.Errorf("containers may be left: %v: %s", err, log)
		}
	})
	return p
}

func (p *podman) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	return cmd
}

// run runs a command, and returns what it wrote to its standard output.
func (p *podman) run(name string, args ...string) string {
	p.t.Helper()
	cmd := p.command(name, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, &complaints)
	}
	return strings.TrimSpace(string(out))
}

// write writes a file into the folder, and returns its path.
func (p *podman) write(name string, text []byte) string {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return file
}

// play plays the part of a manifest that podman understands, with some other settings. The
// pod has the network of this machine, because the servers listen on its loopback interface.
// podman would run curl in the container for the probes, so they are left out. So is
// lifecycle.preStop, which podman does not know.
func (p *podman) play(m *manifest, settings map[string]string) {
	p.t.Helper()
	for name, value := range settings {
		m.config.Data[name] = value
	}
	m.pod().HostNetwork = true
	c := m.container()
	c.ImagePullPolicy = corev1.PullNever
	c.Ports, c.ReadinessProbe, c.LivenessProbe, c.Lifecycle = nil, nil, nil, nil
	data := make(map[string][]byte) // podman 4.3 has only the data of a Secret
	for key, text := range m.secret.StringData {
		data[key] = []byte(text)
	}
	p.run("podman", "secret", "create", m.secret.Name, p.write("secret.json", p.encode(data)))
	documents := fmt.Appendf(nil, "%s\n---\n%s\n", p.encode(m.config), p.encode(m.deployment))
	p.run("podman", "play", "kube", p.write("played.yaml", documents))
}

func (p *podman) encode(v any) []byte {
	p.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}
