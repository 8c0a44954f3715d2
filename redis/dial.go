package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dial makes a connection to the server that o names. It does so without go-redis' pool,
// which writes a line to standard error for each dial that fails. A dialer that does not
// heed ctx is left behind, and the connection that it makes too late is closed.
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

// refused reports whether a dial failed because nobody listens. Errors that were joined do
// not count: those of Sentinels say nothing of the server.
func refused(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if dial, ok := err.(*net.OpError); ok {
			return errors.Is(dial, syscall.ECONNREFUSED) || dial.Net == "unix" && errors.Is(dial, syscall.ENOENT)
		}
	}
	return false
}

// lone is a client of one connection.
type lone struct {
	*goredis.Client
	conn net.Conn
}

// Close also closes a connection that no command has used yet.
func (l *lone) Close() error {
	_ = l.conn.Close() // mostly the second time
	return l.Client.Close()
}

// only returns a client whose one connection is conn. Once conn is lost its commands
// fail. The pool of such a client dials nobody, and so has no failed dial to log.
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

// netDialer returns the dialer that go-redis has for options without one, except that it
// heeds its context during a TLS handshake, too.
func netDialer(secured *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	plain := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	if secured == nil {
		return plain.DialContext
	}
	return (&tls.Dialer{NetDialer: plain, Config: secured}).DialContext
}

// quiet returns the dialer of the client that Open makes. In place of an error, which
// go-redis' pool would log, it returns a connection that has that error. The dial ends
// with the Store.
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

// quietDials is the hook of a client that was handed in. It does what quiet does.
type quietDials struct{ store context.Context }

// DialHook returns a dead connection in place of an error, until the Store is closed.
func (q quietDials) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil && q.store.Err() == nil {
			return &deadConn{err}, nil
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

// deadConn is a connection that could not be made. Whoever uses it gets the error of the
// dial.
type deadConn struct{ err error }

func (c *deadConn) Read([]byte) (int, error)         { return 0, c.err }
func (c *deadConn) Write([]byte) (int, error)        { return 0, c.err }
func (c *deadConn) Close() error                     { return nil }
func (c *deadConn) LocalAddr() net.Addr              { return nowhere{} }
func (c *deadConn) RemoteAddr() net.Addr             { return nowhere{} }
func (c *deadConn) SetDeadline(time.Time) error      { return nil }
func (c *deadConn) SetReadDeadline(time.Time) error  { return nil }
func (c *deadConn) SetWriteDeadline(time.Time) error { return nil }

// SyscallConn fails, which is how go-redis' pool learns that the connection is dead when
// it has been idle: the command that wanted it had left before the dial failed.
func (c *deadConn) SyscallConn() (syscall.RawConn, error) { return nil, c.err }

type nowhere struct{}

func (nowhere) Network() string { return "none" }
func (nowhere) String() string  { return "none" }
