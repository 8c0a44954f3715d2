//go:build !linux

package redistest

import "syscall"

// diesWithParent returns nothing: only Linux has a parent-death signal. The servers of a
// killed test binary live on.
func diesWithParent() *syscall.SysProcAttr { return nil }

// suspended assumes that SIGSTOP works at once.
func suspended(int) bool { return true }
