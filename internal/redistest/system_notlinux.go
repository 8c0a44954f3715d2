//go:build !linux

package redistest

import "syscall"

// diesWithParent returns nothing: only Linux has a parent-death signal. Servers of a killed test binary live on.
func diesWithParent() *syscall.SysProcAttr { return nil }

// suspended believes that SIGSTOP has worked at once.
func suspended(int) bool { return true }
