//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package redis

import "syscall"

// hungUp reports whether a socket has nothing more to read, because it was closed or has
// failed.
func hungUp(fd uintptr) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	if err != nil {
		return err != syscall.EAGAIN && err != syscall.EINTR
	}
	return n == 0
}
