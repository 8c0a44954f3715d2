package sentinel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// primary returns the server that all Sentinels name.
func (g *Group) primary() (*node, error) {
	var named string
	for _, s := range g.sentinels {
		err := s.do(func(ctx context.Context, c *goredis.Client) error {
			answer := goredis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", master)
			if err := c.Process(ctx, answer); err != nil {
				return err
			}
			addr := answer.Val()
			if len(addr) != 2 {
				return errors.New("a Sentinel knows no primary")
			}
			if now := net.JoinHostPort(addr[0], addr[1]); named == "" || named == now {
				named = now
				return nil
			}
			return errors.New("the Sentinels do not agree")
		})
		if err != nil {
			return nil, err
		}
	}
	for _, n := range g.servers {
		if n.addr == named {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the Sentinels name %s, which is none of the servers", named)
}

// settle returns when all Sentinels know each other, agree on a primary and know its replica,
// which has all of it.
func (g *Group) settle() error {
	return g.await("the Sentinels agree on a primary and its replica", func() error {
		primary, err := g.primary()
		if err != nil {
			return err
		}
		for _, n := range g.servers {
			want := []string{"role:slave", "master_link_status:up"}
			if n == primary {
				want = []string{"role:master", "connected_slaves:1"}
			}
			if err := n.replicates(want...); err != nil {
				return err
			}
		}
		for _, s := range g.sentinels {
			if err := s.watches(len(g.sentinels) - 1); err != nil {
				return err
			}
		}
		return nil
	})
}

// replicates is nil if the server's state of replication has all lines.
func (n *node) replicates(lines ...string) error {
	return n.do(func(ctx context.Context, c *goredis.Client) error {
		info, err := c.Info(ctx, "replication").Result()
		for _, line := range lines {
			if err == nil && !strings.Contains(info, line+"\r\n") {
				err = fmt.Errorf("the server at %s has not %s", n.addr, line)
			}
		}
		return err
	})
}

// watches is nil if a Sentinel sees a primary that is well, one replica and the other Sentinels.
func (n *node) watches(others int) error {
	return n.do(func(ctx context.Context, c *goredis.Client) error {
		answer := goredis.NewMapStringStringCmd(ctx, "sentinel", "master", master)
		if err := c.Process(ctx, answer); err != nil {
			return err
		}
		state := answer.Val()
		if state["flags"] != "master" || state["num-slaves"] != "1" || state["num-other-sentinels"] != fmt.Sprint(others) {
			return fmt.Errorf("the Sentinel at %s sees %s, %s replicas and %s other Sentinels", n.addr, state["flags"], state["num-slaves"], state["num-other-sentinels"])
		}
		return nil
	})
}

func (g *Group) await(what string, done func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(agreeWithin); ; {
		err := done()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not so after %v: %s: %w", agreeWithin, what, err)
		}
		select {
		case <-tick.C:
		case <-g.ctx.Done():
			return fmt.Errorf("not awaited: %s: %w", what, context.Cause(g.ctx))
		}
	}
}
