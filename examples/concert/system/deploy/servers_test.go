package deploy_test

import (
	"errors"
	"net"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/mail"
	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/queue/jetstream"
	"github.com/nearside-go/nearside/examples/concert/system/servers"
	"github.com/nearside-go/nearside/examples/concert/system/service"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// startServers starts the servers that a pod with a prefix needs, on the loopback interface. It
// returns Redis, the queue, and the settings of the pod: where the servers are, and a free address.
func startServers(t *testing.T, prefix string) (servers.Redis, queue.Queue, map[string]string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	cache, err := servers.StartRedis(t.Context())
	must(err)
	t.Cleanup(func() { _ = cache.Kill() })
	source, err := servers.StartDatabase(t.Context(), "pods", dir, "127.0.0.1:0")
	must(err)
	t.Cleanup(source.Kill)
	db := sqlite.Open(source.Addr)
	must(errors.Join(store.New(db).Seed(t.Context(), 3, 50), db.Close()))
	broker, err := jetstream.Serve(dir)
	must(err)
	t.Cleanup(broker.Close)
	q, err := jetstream.Connect(broker.URL(), prefix)
	must(err)
	t.Cleanup(q.Close)
	must(q.Create(t.Context(), service.Kinds[:]...))
	post, err := mail.Serve()
	must(err)
	t.Cleanup(func() { _ = post.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	must(free.Close())
	return cache, q, map[string]string{
		"CONCERT_LISTEN": free.Addr().String(), "CONCERT_REDIS": cache.URL(), "CONCERT_DATABASE": source.Addr,
		"CONCERT_QUEUE": broker.URL(), "CONCERT_MAIL": post.URL(),
	}
}
