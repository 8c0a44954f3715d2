package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
	"weak"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dial makes a connection to the server that o names, without the pool of go-redis, which
// writes a line to standard error for each failed dial. When ctx ends, dial returns even if
// the dialer ignores ctx, and a connection that the dialer makes too late is closed.
func dial(ctx context.Context, o *goredis.Options) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		conn, err := o.Dialer(ctx, o.Network, o.Addr)
		if dead, ok := conn.(*deadConn); ok {
			conn, err = nil, dead.err
		}
		select {
		case done <- result{conn, err}:
		case <-ctx.Done():
			if err == nil {
				_ = conn.Close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refused reports whether a dial failed because nobody listens. Joined errors do not count:
// the errors of Sentinels do not show the state of the server.
func refused(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if dial, ok := err.(*net.OpError); ok {
			return errors.Is(dial, syscall.ECONNREFUSED) || dial.Net == "unix" && errors.Is(dial, syscall.ENOENT)
		}
	}
	return false
}

// lone is a client with one connection.
type lone struct {
	*goredis.Client
	conn net.Conn
}

// Close also closes a connection that no command has used yet.
func (l *lone) Close() error {
	_ = l.conn.Close() // often closed already
	return l.Client.Close()
}

// only returns a client whose one connection is conn. When conn is lost, the client's
// commands fail. The client's pool dials nothing, so there is no failed dial to log.
func only(o *goredis.Options, conn net.Conn) *lone {
	one := *o
	one.PoolSize, one.MinIdleConns, one.MaxIdleConns, one.MaxActiveConns = 1, 0, 1, 0
	one.PipelinePoolSize = -1 // pipelines use that connection too
	one.ConnMaxLifetime, one.ConnMaxLifetimeJitter, one.ConnMaxIdleTime = 0, 0, -1
	one.MaxRetries, one.DialerRetries = -1, 1
	one.ContextTimeoutEnabled = true
	one.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	var given atomic.Bool
	one.Dialer = func(context.Context, string, string) (net.Conn, error) {
		if given.Swap(true) {
			return &deadConn{errLost}, nil
		}
		return conn, nil
	}
	return &lone{goredis.NewClient(&one), conn}
}

var errLost = errors.New("redis: the connection is lost")

// netDialer returns the dialer that go-redis uses for options without a dialer, except that
// it also heeds its context during a TLS handshake.
func netDialer(secured *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	plain := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	if secured == nil {
		return plain.DialContext
	}
	return (&tls.Dialer{NetDialer: plain, Config: secured}).DialContext
}

// quiet returns the dialer of the client made by Open. The pool of go-redis would log an
// error of the dialer. So the dialer returns a connection that has the error. The dial ends
// when the Store is closed.
func (s *Store) quiet(dialer func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.background, cancel)()
		conn, err := dialer(ctx, network, addr)
		if err != nil {
			return &deadConn{err}, nil
		}
		return conn, nil
	}
}

// quietDials is the hook of a client passed to New. It does the same as quiet. It does not keep
// a closed Store in memory, because the client keeps the hook.
type quietDials struct {
	store context.Context // ends with the Store
	of    weak.Pointer[Store]
}

// DialHook returns a dead connection in place of an error, until the Store is closed.
func (q quietDials) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil && q.store.Err() == nil {
			return &deadConn{err}, nil
		}
		if s := q.of.Value(); err == nil && s != nil {
			s.dialed(conn)
		}
		return conn, err
	}
}

// ProcessHook changes nothing.
func (quietDials) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

// ProcessPipelineHook changes nothing.
func (quietDials) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

// deadConn stands for a connection that could not be made. Its methods return the error of
// the dial.
type deadConn struct{ err error }

func (c *deadConn) Read([]byte) (int, error)         { return 0, c.err }
func (c *deadConn) Write([]byte) (int, error)        { return 0, c.err }
func (c *deadConn) Close() error                     { return nil }
func (c *deadConn) LocalAddr() net.Addr              { return nowhere{} }
func (c *deadConn) RemoteAddr() net.Addr             { return nowhere{} }
func (c *deadConn) SetDeadline(time.Time) error      { return nil }
func (c *deadConn) SetReadDeadline(time.Time) error  { return nil }
func (c *deadConn) SetWriteDeadline(time.Time) error { return nil }

// SyscallConn fails, so that the pool of go-redis finds an idle connection dead. Such a
// connection is idle if the command that needed the connection left before the dial failed.
func (c *deadConn) SyscallConn() (syscall.RawConn, error) { return nil, c.err }

type nowhere struct{}

func (nowhere) Network() string { return "none" }
func (nowhere) String() string  { return "none" }
