package process

import "syscall"

// setAttributes puts the process into a group of its own, so that Ctrl-C reaches the parent
// alone, and asks the kernel to kill it when the thread that started it ends.
func setAttributes(a *syscall.SysProcAttr) { a.Setpgid, a.Pdeathsig = true, syscall.SIGKILL }
