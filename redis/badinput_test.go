package redis_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// badInputs returns URLs of servers that cannot serve the Store, and the lines that say so:
// each has this in it.
func badInputs(t *testing.T) map[string]struct {
	url   string
	lines []string
} {
	t.Helper()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	secured := httptest.NewUnstartedServer(http.NotFoundHandler())
	secured.Config.ErrorLog = log.New(io.Discard, "", 0)
	secured.StartTLS()
	t.Cleanup(secured.Close)
	garbage := quoter(t, func(args []string) string { return "?" + strings.Join(args, " ") })
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 1).Nodes()[0]
	letIn(t, "known", documentedRights(t, "nearside"), server)
	const outage, noRedis = "redis does not serve", "not those of Redis"
	return map[string]struct {
		url   string
		lines []string
	}{
		"HTTP":                       {"redis://" + web.Listener.Addr().String(), []string{outage, noRedis}},
		"garbage":                    {"redis://" + garbage, []string{outage, noRedis}},
		"TLS, without rediss":        {"redis://" + secured.Listener.Addr().String(), []string{outage, "may expect TLS"}},
		"no TLS, with rediss":        {"rediss://" + server.Addr(), []string{outage, "may expect none"}},
		"a wrong password":           {"redis://known:" + secretValue + "@" + server.Addr(), []string{"WRONGPASS"}},
		"an unknown user":            {"redis://" + secretKey + ":secret@" + server.Addr(), []string{"WRONGPASS"}},
		"no such database":           {"redis://" + server.Addr() + "/16", []string{"the database does not exist"}},
		"a database of a Cluster":    {"redis://" + cluster.Addr() + "/1", []string{"a Cluster has one database"}},
		"no permission for database": {"redis://known:secret@" + server.Addr() + "/1", []string{"no permission to run the command SELECT"}},
	}
}

func TestBadInputIsServedFromTheSourceAndLoggedOnce(t *testing.T) {
	t.Parallel()
	for name, bad := range badInputs(t) {
		for _, with := range []string{"Open", "New"} {
			t.Run(name+"/"+with, func(t *testing.T) {
				t.Parallel()
				l := &lines{}
				store := openOrNew(t, with, bad.url, redis.Options{Timeout: sendable, Logger: l.logger()})
				c := cacheOn(t, store, cache.Options[string, string]{Name: "bad", TTL: time.Hour, RemoteOnly: true})
				read := func(n int) {
					for i := range n {
						key := secretKey + strconv.Itoa(i)
						if v, err := c.GetOrLoad(t.Context(), key, yields[string]("v")); err != nil || v != "v" {
							t.Fatalf("GetOrLoad = %q, %v", v, err)
						}
					}
				}
				read(100)
				redistest.Eventually(t, soon, "the breaker is open", func() bool { return store.Stats().BreakerOpen })
				sent := store.Stats().BreakerRefused
				read(100)
				if n := store.Stats().BreakerRefused - sent; n < 100 {
					t.Errorf("%d commands were not sent by 100 reads", n)
				}
				redistest.Eventually(t, soon, "every line is written", func() bool {
					return !slices.ContainsFunc(bad.lines, func(text string) bool { return len(l.of(text)) == 0 })
				})
				h := store.Health(t.Context())
				if h.Reachable || h.Problem == "" || h.Latency != 0 || h.Server != "" {
					t.Errorf("Health = %+v", h)
				}
				all := l.of("")
				if len(all) != len(bad.lines) {
					t.Errorf("%d lines, want %d", len(all), len(bad.lines))
				}
				said := strings.Join(all, "\n") + fmt.Sprintf("%+v", h)
				if strings.Contains(said, secretKey) || strings.Contains(said, secretValue) {
					t.Errorf("a key or a password is in:\n%s", said)
				}
				t.Log(said)
			})
		}
	}
}

func openOrNew(t *testing.T, with, rawURL string, o redis.Options) *redis.Store {
	t.Helper()
	if with == "Open" {
		return open(t, rawURL, o)
	}
	of, err := goredis.ParseURL(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(of)
	t.Cleanup(func() { _ = client.Close() })
	s, err := redis.New(client, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
