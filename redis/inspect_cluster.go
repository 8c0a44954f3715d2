package redis

import (
	"context"
	"errors"
	"slices"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// inspectCluster inspects every primary of a Cluster at once, because each node has a
// configuration and users of its own.
func (s *Store) inspectCluster(ctx context.Context, c *goredis.ClusterClient) (all inspection, err error) {
	if err := s.findPrimaries(ctx, c); err != nil {
		return all, err
	}
	addrs := s.nodes.addrs(nil)
	if len(addrs) == 0 { // the user may not ask which nodes have slots
		addrs = s.nodes.addrs(c.Options().Addrs)
	}
	if len(addrs) == 0 { // the client finds its nodes by a function
		return all, errors.New("redis: no node of the Cluster is known")
	}
	each, errs := make([]inspection, len(addrs)), make([]error, len(addrs))
	var inspecting sync.WaitGroup
	for n, addr := range addrs {
		inspecting.Go(func() { each[n], errs[n] = s.inspectServer(ctx, inspectOptions(c, addr)) })
	}
	inspecting.Wait()
	all.findings = []Finding{}
	for n, one := range each {
		if errs[n] != nil {
			return inspection{}, errs[n]
		}
		all.server, all.latency = one.server, max(all.latency, one.latency)
		for _, f := range one.findings {
			if !slices.Contains(all.findings, f) {
				all.findings = append(all.findings, f)
			}
		}
	}
	return all, nil
}

// findPrimaries learns from the first node that answers which nodes have slots.
func (s *Store) findPrimaries(ctx context.Context, c *goredis.ClusterClient) (err error) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addrs := s.nodes.addrs(c.Options().Addrs)
	answers := make(chan error, len(addrs))
	for _, addr := range addrs {
		asking.Go(func() { answers <- s.askForSlots(ctx, inspectOptions(c, addr)) })
	}
	for range addrs {
		if err = <-answers; !isOutage(err) {
			return nil
		}
	}
	return err
}

// askForSlots learns from a node which nodes have slots.
func (s *Store) askForSlots(ctx context.Context, o *goredis.Options) error {
	conn, err := dial(ctx, o)
	if err != nil {
		return err
	}
	client := only(o, conn)
	defer client.Close()
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	//lint:ignore SA1019 CLUSTER SHARDS, which replaces CLUSTER SLOTS, is not in Redis 6
	slots, err := client.ClusterSlots(ctx).Result()
	if err == nil {
		s.nodes.learn(slots)
	}
	return err
}

// inspectOptions returns the options of a connection to a node, as go-redis makes them from the
// options of a Cluster.
func inspectOptions(c *goredis.ClusterClient, addr string) *goredis.Options {
	of := c.Options()
	return nodeOptions(c, &goredis.Options{
		Network: "tcp", Addr: addr, Protocol: of.Protocol, OnConnect: of.OnConnect,
		Username: of.Username, Password: of.Password, CredentialsProvider: of.CredentialsProvider,
		CredentialsProviderContext:   of.CredentialsProviderContext,
		StreamingCredentialsProvider: of.StreamingCredentialsProvider,
	})
}
