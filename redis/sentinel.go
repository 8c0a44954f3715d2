package redis

import (
	"cmp"
	"errors"
	"maps"
	"net/url"

	goredis "github.com/redis/go-redis/v9"
)

// openFailover is Open for a URL that names Sentinels.
func openFailover(rawURL string, o Options) (*Store, error) {
	client, err := parseFailoverURL(rawURL)
	o, optionsErr := o.complete()
	if err := errors.Join(err, optionsErr); err != nil {
		return nil, err
	}
	client.ContextTimeoutEnabled = true
	client.MaxRetries = cmp.Or(client.MaxRetries, -1)
	client.DialerRetries = cmp.Or(client.DialerRetries, 1)
	client.DialTimeout = cmp.Or(client.DialTimeout, o.LogTimeout)
	if client.TLSConfig != nil {
		client.TLSConfig.ServerName = "" // of each address that is dialled, not of the first Sentinel
	}
	s := newStore(o)
	client.Dialer = s.quiet(netDialer(client.TLSConfig))
	s.closes = true
	s.borrow(goredis.NewFailoverClient(client))
	s.inBackground(s.selfTest)
	return s, nil
}

// namesSentinels reports whether a URL is one of Sentinels.
func namesSentinels(rawURL string) bool {
	u, err := url.Parse(rawURL)
	return err == nil && u.Query().Has("master_name")
}

// hasPort reports whether a URL has a port. Without one, goredis.ParseFailoverURL takes that of
// Redis, where no Sentinel is.
func hasPort(rawURL string) bool {
	u, err := url.Parse(rawURL)
	return err == nil && u.Port() != ""
}

// parseFailoverURL is goredis.ParseFailoverURL with errors that quote nothing of the URL. It
// refuses to read from replicas, which lag.
func parseFailoverURL(rawURL string) (*goredis.FailoverOptions, error) {
	o, err := goredis.ParseFailoverURL(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("redis: open: " + urlProblem(rawURL))
	case !hasPort(rawURL):
		return nil, errors.New("redis: open: the address of the Sentinel has no port")
	case o.MasterName == "":
		return nil, errors.New("redis: open: query parameter master_name is empty")
	case o.ReplicaOnly, o.UseDisconnectedReplicas, o.RouteByLatency, o.RouteRandomly:
		return nil, errors.New("redis: open: a client that reads from replicas may read what was invalidated")
	}
	return o, nil
}

// failoverParameters are the query parameters of goredis.ParseFailoverURL.
var failoverParameters = func() map[string]kind {
	all := maps.Clone(parameters)
	delete(all, "idle_timeout")
	delete(all, "max_conn_age")
	maps.Copy(all, map[string]kind{
		"master_name": text, "addr": address, "username": text, "password": text, "identitySuffix": text,
		"dialer_retries": number, "dialer_retry_timeout": duration, "route_by_latency_tolerance": duration,
		"route_by_latency": boolean, "route_randomly": boolean, "replica_only": boolean, "use_disconnected_replicas": boolean,
		"context_timeout_enabled": boolean, "disableIdentity": boolean, "unstable_resp3": boolean,
	})
	return all
}()
