//go:build !unix

package redistest

import (
	"errors"
	"net"
	"os"
)

func suspend(*os.Process) error { return errors.ErrUnsupported }

func resume(*os.Process) error { return errors.ErrUnsupported }

// reservePort returns a port that was free a moment ago. Nothing keeps the port free.
func reservePort() (addr string, release func(), err error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() {}, l.Close()
}
