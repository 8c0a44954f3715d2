//go:build unix

package redistest

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

func suspend(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// reservePort binds a TCP socket to a free loopback port, and never listens on it: the
// kernel refuses connections to the port, and gives the port to no other process until
// release closes the socket.
func reservePort() (addr string, release func(), err error) {
	syscall.ForkLock.RLock() // no server that starts now may inherit the socket
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return "", nil, err
	}
	release = func() { _ = syscall.Close(fd) }
	addr, err = bindLoopback(fd)
	if err != nil {
		release()
	}
	return addr, release, err
}

// bindLoopback binds fd to a port that the kernel chooses.
func bindLoopback(fd int) (string, error) {
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return "", err
	}
	bound, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return "", fmt.Errorf("socket name is a %T", name)
	}
	return net.JoinHostPort(loopback, strconv.Itoa(bound.Port)), nil
}
