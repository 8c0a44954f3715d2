package redistest

import (
	"os"
	"os/exec"
	"runtime"
)

// process is one run of redis-server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process was waited for
}

// spawn starts redis-server. What it writes goes to the file log, which is emptied first.
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
// The lock is for Linux, where "parent" in the parent-death signal means the thread that forked, not the whole test binary:
//
//  1. a goroutine that is locked to thread T calls Start, and the fork happens on T
//  2. the goroutine returns while locked, and the runtime ends T
//  3. the kernel kills the server in the middle of the test
//
// With this goroutine holding its own thread until the server is gone, step 2 cannot come first.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // a killed server's exit status says nothing
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

// kill sends SIGKILL and waits. It does nothing to a process that has ended, whose id may be another's by now: os.Process
// refuses to signal what it has reaped.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
