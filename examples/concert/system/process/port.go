package process

import (
	"errors"
	"fmt"
	"net"
)

// OnFreeAddr is OnFreeAddrs with one address.
func OnFreeAddr(start func(addr string) error) error {
	return OnFreeAddrs(1, func(addrs []string) error { return start(addrs[0]) })
}

// OnFreeAddrs calls start with n addresses of the loopback interface whose ports are free. If
// start fails because another process was the first to take a port, it is called again with
// others. A start that fails has to end its own processes, which hold the ports like any other.
func OnFreeAddrs(n int, start func(addrs []string) error) error {
	for tries := 1; ; tries++ {
		addrs, err := freeAddrs(n)
		if err != nil {
			return err
		}
		err = start(addrs)
		if err == nil || tries == 10 || stillFree(addrs) {
			return err
		}
	}
}

func freeAddrs(n int) (addrs []string, err error) {
	var listeners []net.Listener
	for range n {
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			err = fmt.Errorf("find a free port: %w", listenErr)
			break
		}
		listeners = append(listeners, l)
		addrs = append(addrs, l.Addr().String())
	}
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return addrs, err
}

func stillFree(addrs []string) bool {
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}
