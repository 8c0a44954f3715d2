package deploy_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/servers"
)

var pods = flag.Bool("pods", false, "build the image, and run it in a pod with podman")

func TestMain(m *testing.M) {
	process.Main(map[string]process.Role{
		servers.DatabaseRole: servers.RunDatabase,
		servers.RedisRole:    servers.RunMiniredis,
	})
	os.Exit(m.Run())
}

const (
	// maxImage is how many bytes the image may have.
	maxImage = 25_000_000

	// price is one that no concert has at first.
	price = 4321
)

// TestPod builds the image, and has podman play the manifest. The pod answers, and is up again
// by itself after its process was killed, and after it was asked to end. It ends within its
// grace period even while Redis hangs and has not confirmed an invalidation, which is in the queue
// then.
func TestPod(t *testing.T) {
	if !*pods {
		t.Skip("no pod without -pods")
	}
	m, err := parse(readManifest(t))
	if err != nil {
		t.Fatal(err)
	}
	buildImage, err := filepath.Abs("build-image")
	if err != nil {
		t.Fatal(err)
	}
	podman := newPodman(t)
	t.Logf("the image: %s", podman.run(buildImage))
	size, err := strconv.Atoi(podman.run("podman", "image", "inspect", "--format", "{{.Size}}", m.container().Image))
	if err != nil || size > maxImage {
		t.Errorf("the image has %d bytes, error %v, want at most %d", size, err, maxImage)
	}

	cache, q, settings := startServers(t, m.config.Data["CONCERT_PREFIX"])
	i := &instance{podman, "http://" + settings["CONCERT_LISTEN"], m.container().Name}
	podman.play(m, settings)
	t.Cleanup(i.showLog)
	i.awaitReady(0)
	i.checkRights(m.pod().SecurityContext)
	i.setPrice(price)
	i.checkPrice()

	killed, begun := i.pid(), time.Now()
	i.signal(killed, syscall.SIGKILL)
	i.awaitReady(killed)
	t.Logf("killed: ready again after %v", time.Since(begun).Round(10*time.Millisecond))
	i.checkPrice()

	ended, begun := i.pid(), time.Now()
	i.signal(ended, syscall.SIGTERM)
	await(t, "the instance drains", func() bool {
		status, text := get(t, i.url+"/readyz")
		return status == http.StatusServiceUnavailable && strings.HasPrefix(text, "draining")
	})
	i.checkPrice()
	i.awaitReady(ended)
	t.Logf("asked to end: drained, and ready again after %v", time.Since(begun).Round(10*time.Millisecond))
	i.checkPrice()

	if err := cache.Hang(); err != nil {
		t.Fatal(err)
	}
	i.setPrice(price + 1)
	begun = time.Now()
	i.run("podman", "stop", "-t", strconv.FormatInt(*m.pod().TerminationGracePeriodSeconds, 10), i.id())
	t.Logf("stopped while Redis hangs: ended after %v", time.Since(begun).Round(10*time.Millisecond))
	if code := i.run("podman", "inspect", "--format", "{{.State.ExitCode}}", i.id()); code != "0" {
		t.Errorf("stopped while Redis hangs: exit status %s, want 0, without a SIGKILL after the grace period", code)
	}
	if depth, err := q.Depth(t.Context()); err != nil || depth.Live == 0 {
		t.Errorf("the queue has %d messages, error %v, want the invalidation that Redis has not confirmed", depth.Live, err)
	}
}

// instance is the container of the pod.
type instance struct {
	*podman
	url  string
	name string // of the container, within the pod
}

func (i *instance) id() string {
	i.t.Helper()
	return i.run("podman", "ps", "-a", "-q", "--filter", "name=-"+i.name+"$")
}

// pid returns the id of the container's process, as the machine has it; 0 for none.
func (i *instance) pid() int {
	i.t.Helper()
	text := i.run("podman", "inspect", "--format", "{{.State.Pid}}", i.id())
	pid, err := strconv.Atoi(text)
	if err != nil {
		i.t.Fatal(err)
	}
	return pid
}

func (i *instance) signal(pid int, s syscall.Signal) {
	i.t.Helper()
	if pid <= 0 {
		i.t.Fatal("the container has no process")
	}
	if err := syscall.Kill(pid, s); err != nil {
		i.t.Fatal(err)
	}
}

// awaitReady waits until another process than was answers that it is ready.
func (i *instance) awaitReady(was int) {
	i.t.Helper()
	await(i.t, "the instance is ready", func() bool {
		status, _, err := ask(http.MethodGet, i.url+"/readyz", "")
		now := i.pid()
		return err == nil && status == http.StatusOK && now != 0 && now != was
	})
}

func (i *instance) setPrice(cents int) {
	i.t.Helper()
	status, text, err := ask(http.MethodPut, i.url+"/api/concerts/1/price", fmt.Sprintf(`{"Cents":%d}`, cents))
	if err != nil || status != http.StatusOK {
		i.t.Fatalf("the price was not changed: %d, %q, error %v", status, text, err)
	}
}

// checkPrice looks for the changed price, which comes from Redis or from the database.
func (i *instance) checkPrice() {
	i.t.Helper()
	status, text := get(i.t, i.url+"/api/concerts/1")
	if want := fmt.Sprintf(`"cents":%d`, price); status != http.StatusOK || !strings.Contains(text, want) {
		i.t.Errorf("the concert is %d, %q, want %s", status, text, want)
	}
}

// checkRights looks at what the process may do.
func (i *instance) checkRights(want *corev1.PodSecurityContext) {
	i.t.Helper()
	proc := "/proc/" + strconv.Itoa(i.pid())
	for file, patterns := range map[string][]string{
		"status": {
			fmt.Sprintf(`Uid:\s+%d\s`, *want.RunAsUser), fmt.Sprintf(`Gid:\s+%d\s`, *want.RunAsGroup),
			`CapEff:\s+0+$`, `CapBnd:\s+0+$`, `NoNewPrivs:\s+1$`, `Seccomp:\s+2$`,
		},
		"mountinfo": {`\S+ \S+ \S+ \S+ / ro,`},
	} {
		text, err := os.ReadFile(proc + "/" + file)
		if err != nil {
			i.t.Fatal(err)
		}
		for _, pattern := range patterns {
			if !regexp.MustCompile("(?m)^" + pattern).Match(text) {
				i.t.Errorf("%s of the process has no line %s:\n%s", file, pattern, text)
			}
		}
	}
}

// showLog shows what the container wrote, if the test has failed.
func (i *instance) showLog() {
	if i.t.Failed() {
		out, err := i.command("podman", "logs", i.id()).CombinedOutput()
		i.t.Logf("the container wrote (error %v):\n%s", err, out)
	}
}
