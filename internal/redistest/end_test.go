package redistest_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

func TestCleanupLeavesNoProcess(t *testing.T) {
	t.Parallel()
	var pids []int
	var dirs []string
	note := func(servers ...*redistest.Server) {
		for _, s := range servers {
			pids = append(pids, s.PID())
			dirs = append(dirs, strings.TrimSuffix(s.Socket(), "/s"))
		}
	}
	t.Run("servers", func(t *testing.T) {
		paused, killed, restarted, loading := redistest.Start(t), redistest.Start(t), redistest.Start(t), redistest.Start(t)
		paused.Pause()
		killed.Kill()
		restarted.Kill()
		restarted.Restart()
		loading.Load(t, 10_000)
		primary := redistest.Start(t)
		replica := redistest.StartReplica(t, primary)
		redistest.StartSentinel(t, primary)
		note(paused, killed, restarted, loading, primary, replica)
		note(redistest.StartCluster(t, 3).Nodes()...)
	})
	wantGone(t, pids...)
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("directory %s is still there: %v", dir, err)
		}
	}
}

// The thread that called Start may end before the server does.
func TestServerOutlivesTheThreadThatStartedIt(t *testing.T) {
	redistest.Require(t)
	t.Parallel()
	started := make(chan *redistest.Server)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
		started <- redistest.Start(t)
	}()
	s := <-started
	end := time.NewTimer(2 * brief)
	defer end.Stop()
	<-end.C
	if err := pingWithin(t, tcpClient(t, s), soon); err != nil {
		t.Error(err)
	}
}

// A test binary that is killed takes its servers along, on Linux. The child is this test binary again, in this same test.
func TestServerDiesWithTheTestBinary(t *testing.T) {
	redistest.Require(t)
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	const socketVar = "REDISTEST_REPORT_TO"
	if socket := os.Getenv(socketVar); socket != "" {
		reportPID(t, socket, redistest.Start(t))
		select {} // until the parent kills this process
	}
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), socketVar+"="+l.Addr().String(), "TMPDIR="+t.TempDir())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := receivePID(t, l)
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // it was killed
	redistest.Eventually(t, soon, "the server is dead", func() bool { return gone(pid) || isZombie(pid) })
}

func reportPID(t *testing.T, addr string, s *redistest.Server) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, s.PID()); err != nil {
		t.Fatal(err)
	}
}

func receivePID(t *testing.T, l net.Listener) (pid int) {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fscan(conn, &pid); err != nil || gone(pid) {
		t.Fatalf("the child's server is %d, %v", pid, err)
	}
	return pid
}

// isZombie holds where the container's first process does not reap orphans.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
