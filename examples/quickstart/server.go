package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
)

// server is the Redis at the far end of the link.
type server struct {
	name     string // for the heading
	opts     *goredis.Options
	embedded *miniredis.Miniredis // nil if Redis is the user's own
	client   *goredis.Client      // not through the link: for what the walk does about Redis itself
}

// newServer reaches the Redis of a URL, or embeds one if the URL is empty.
func newServer(redisURL string) (*server, error) {
	if redisURL == "" {
		return embed()
	}
	opts, err := goredis.ParseURL(redisURL)
	if err != nil {
		return nil, fmt.Errorf("-redis: %w", withoutURL(err))
	}
	s := connect(opts)
	s.name = opts.Addr
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("no Redis answers at %s: %w", opts.Addr, err), s.close())
	}
	return s, nil
}

func embed() (*server, error) {
	m, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	s := connect(&goredis.Options{Network: "tcp", Addr: m.Addr()})
	s.name, s.embedded = "embedded (-redis URL takes yours instead)", m
	return s, nil
}

func connect(opts *goredis.Options) *server {
	own := *opts
	own.ContextTimeoutEnabled, own.MaxRetries, own.DialerRetries = true, -1, 1
	return &server{opts: opts, client: goredis.NewClient(&own)}
}

// withoutURL is err without the text of the URL, which may hold a password.
func withoutURL(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return urlErr.Err
	}
	return err
}

// dial connects to Redis itself.
func (s *server) dial(ctx context.Context) (net.Conn, error) {
	if s.opts.TLSConfig != nil {
		return (&tls.Dialer{Config: s.opts.TLSConfig}).DialContext(ctx, s.opts.Network, s.opts.Addr)
	}
	return (&net.Dialer{}).DialContext(ctx, s.opts.Network, s.opts.Addr)
}

// urlThrough is the URL of this Redis at the near end of a link.
func (s *server) urlThrough(l *link) string {
	u := url.URL{Scheme: "redis", Host: l.address, Path: "/" + strconv.Itoa(s.opts.DB)}
	if s.opts.Username != "" || s.opts.Password != "" {
		u.User = url.UserPassword(s.opts.Username, s.opts.Password)
	}
	return u.String()
}

// sweep removes every key that begins with prefix.
func (s *server) sweep(prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	keys := s.client.Scan(ctx, 0, prefix+"*", 10_000).Iterator()
	for keys.Next(ctx) {
		if err := s.client.Unlink(ctx, keys.Val()).Err(); err != nil {
			return fmt.Errorf("remove the keys of this run: %w", err)
		}
	}
	if err := keys.Err(); err != nil {
		return fmt.Errorf("find the keys of this run: %w", err)
	}
	return nil
}

func (s *server) close() error {
	err := s.client.Close()
	if s.embedded != nil {
		s.embedded.Close()
	}
	return err
}
