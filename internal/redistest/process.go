package redistest

import (
	"os"
	"os/exec"
	"runtime"
)

// process is one run of redis-server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for
}

// spawn starts redis-server. Its output goes to the file log, which is emptied first.
func spawn(args []string, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = diesWithParent()
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the process and waits for its end, all on one OS thread.
//
// The lock is for Linux, where "parent" in the parent-death signal means the thread that
// forked, not the whole test binary:
//
//  1. A goroutine that is locked to thread T calls Start, and the fork happens on T.
//  2. The goroutine returns while locked, and the runtime ends T.
//  3. The kernel kills the server in the middle of the test.
//
// This goroutine keeps its own thread until the server is gone, so step 2 cannot come
// first.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // the exit status of a killed server carries no information
	close(p.done)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill sends SIGKILL and waits. Nothing happens to a process that has ended, whose id may
// belong to another process by now: os.Process refuses to signal a process that it has
// reaped.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
