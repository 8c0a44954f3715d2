package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// connect returns a client of one connection to the server that has the log: the
// Store's own may wait longer than LogTimeout, and has better use for its connections.
func (p *partition) connect(ctx context.Context) (*goredis.Client, error) {
	var o goredis.Options
	switch c := p.s.client.(type) {
	case *goredis.Client:
		o = *c.Options()
	case *goredis.ClusterClient:
		c.ReloadState(ctx)
		node, err := p.node(ctx, c)
		if err != nil {
			return nil, err
		}
		o = *node.Options()
	default:
		return nil, errors.New("redis: the log cannot be read with a client of this type")
	}
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 1, 0, 1, 0
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	o.DialTimeout = p.s.opts.LogTimeout
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return goredis.NewClient(&o), nil
}

func (p *partition) node(ctx context.Context, c *goredis.ClusterClient) (*goredis.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, p.s.opts.LogTimeout)
	defer cancel()
	return abandonable(ctx, func(ctx context.Context) (*goredis.Client, error) { return c.MasterForKey(ctx, p.key) })
}
