package redistest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// diesWithParent asks the kernel to kill the server when the thread that started it ends.
// process.run keeps that thread.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// suspended reports whether a process has stopped. SIGSTOP only requests the stop: a busy
// server may answer one more command.
func suspended(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	// The state follows the command's name, which is in parentheses: "123 (redis-server) T
	// 1 ...".
	i := bytes.LastIndexByte(stat, ')')
	return bytes.HasPrefix(stat[i+1:], []byte(" T "))
}
