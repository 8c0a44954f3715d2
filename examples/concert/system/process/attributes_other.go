//go:build unix && !linux

package process

import "syscall"

// setAttributes puts the process into a group of its own, so that Ctrl-C reaches the parent
// alone.
func setAttributes(a *syscall.SysProcAttr) { a.Setpgid = true }
