package process

import (
	"fmt"
	"net"
)

// OnFreeAddr calls start with an address of the loopback interface whose port is free. Another
// process may take the port first, so it tries ten ports.
func OnFreeAddr(start func(addr string) error) error {
	var err error
	for range 10 {
		var addr string
		if addr, err = freeAddr(); err != nil {
			return err
		}
		if err = start(addr); err == nil {
			return nil
		}
	}
	return err
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
