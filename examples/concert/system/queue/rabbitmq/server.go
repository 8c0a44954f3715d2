package rabbitmq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/process"
)

const (
	startWithin = 2 * time.Minute // the Erlang VM is slow to start on a busy machine

	// owner is the user of Debian's package.
	owner = "rabbitmq"
)

// Programs returns the files of RabbitMQ and of epmd, through which Erlang's nodes find each
// other. Debian's rabbitmq-server on the PATH insists on its own user and folders; the file of
// the library's folder does not.
func Programs() (rabbit, epmd string, err error) {
	if rabbit, err = exec.LookPath("/usr/lib/rabbitmq/bin/rabbitmq-server"); err == nil {
		epmd, err = exec.LookPath("epmd")
	}
	if err != nil {
		return "", "", errors.New("no RabbitMQ is installed (Debian: the package rabbitmq-server)")
	}
	return rabbit, epmd, nil
}

// Server is a RabbitMQ on ports of the loopback interface, with its messages in a temporary
// folder, and with an epmd of its own.
type Server struct {
	addr, password string
	dir            string
	node, epmd     *process.Process
}

// Start starts a Server. ctx bounds the start, not the life of the Server.
func Start(ctx context.Context) (*Server, error) {
	rabbit, epmd, err := Programs()
	if err != nil {
		return nil, err
	}
	s := &Server{password: rand.Text()}
	if s.dir, err = process.Folder(owner); err != nil {
		return nil, err
	}
	err = process.OnFreeAddrs(3, func(addrs []string) error { return s.start(ctx, rabbit, epmd, addrs[0], addrs[1], addrs[2]) })
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start starts the node at addr. At its own address the node waits for other nodes. After an
// error neither the node nor its epmd runs.
func (s *Server) start(ctx context.Context, rabbit, epmd, addr, nodeAddr, epmdAddr string) (err error) {
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	s.addr = addr
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	_, nodePort, err := net.SplitHostPort(nodeAddr)
	if err != nil {
		return err
	}
	_, epmdPort, err := net.SplitHostPort(epmdAddr)
	if err != nil {
		return err
	}
	config := fmt.Sprintf("listeners.tcp.1 = %s\ndefault_user = %s\ndefault_pass = %s\n", addr, user, s.password)
	if err := os.WriteFile(s.file("rabbitmq.conf"), []byte(config), 0o644); err != nil {
		return err
	}
	s.epmd, err = process.Program{Name: "epmd", File: epmd, Args: []string{"-address", host, "-port", epmdPort}, User: owner}.Start()
	if err != nil {
		return err
	}
	s.node, err = process.Program{
		Name: "RabbitMQ", File: rabbit, User: owner,
		Env: []string{
			"HOME=" + s.dir,
			"ERL_EPMD_ADDRESS=" + host, "ERL_EPMD_PORT=" + epmdPort,
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
			"RABBITMQ_NODENAME=concert-" + port + "@localhost", "RABBITMQ_DIST_PORT=" + nodePort,
			"RABBITMQ_CONF_ENV_FILE=" + os.DevNull, "RABBITMQ_CONFIG_FILE=" + s.file("rabbitmq"),
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + s.file("plugins"), "RABBITMQ_PID_FILE=" + s.file("pid"),
			"RABBITMQ_MNESIA_BASE=" + s.file("mnesia"), "RABBITMQ_LOG_BASE=" + s.file("log"), "RABBITMQ_LOGS=-",
			"RABBITMQ_ALLOW_INPUT=1", // then the script becomes the node, and does not wait for it
		},
	}.Start()
	if err != nil {
		return err
	}
	return s.node.Await(ctx, startWithin, func() error {
		conn, err := dial(s.URL())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

const user = "concert"

// URL returns the address for Connect.
func (s *Server) URL() string {
	u := url.URL{Scheme: "amqp", User: url.UserPassword(user, s.password), Host: s.addr, Path: "/"}
	return u.String()
}

func (s *Server) stop() {
	for _, p := range []*process.Process{s.node, s.epmd} {
		if p != nil {
			p.Kill()
		}
	}
}

// Close ends the server, and removes its folder.
func (s *Server) Close() error {
	s.stop()
	return os.RemoveAll(s.dir)
}
