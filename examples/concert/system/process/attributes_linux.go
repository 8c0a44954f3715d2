package process

import "syscall"

// attributes puts the process into a group of its own, so that Ctrl-C reaches the parent
// alone, and asks the kernel to kill it when the thread that started it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
