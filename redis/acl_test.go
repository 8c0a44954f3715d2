package redis_test

import (
	"context"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// documentedRights returns the rights that docs/wire.md gives to the user of a Store with
// the prefix.
func documentedRights(t *testing.T, prefix string) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^    ACL SETUSER nearside on >PASSWORD (~nearside:\*.*)$`).FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/wire.md has no ACL")
	}
	return strings.Fields(strings.ReplaceAll(string(found[1]), "~nearside:", "~"+prefix+":"))
}

// clusterRights are the rights that docs/wire.md adds for a Cluster.
var clusterRights = []string{"+command", "+cluster|slots", "+asking"}

// letIn makes a user with rights on every server.
func letIn(t *testing.T, user string, rights []string, servers ...*redistest.Server) {
	t.Helper()
	for _, server := range servers {
		args := []any{"acl", "setuser", user, "reset", "on", ">secret"}
		for _, right := range rights {
			args = append(args, right)
		}
		if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// refusals returns the commands that server has refused, with how often.
func refusals(t *testing.T, server *redistest.Server) map[string]int64 {
	t.Helper()
	log, err := server.Client().ACLLog(t.Context(), 1000).Result()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int64)
	for _, entry := range log {
		counts[entry.Object] += entry.Count
	}
	return counts
}

// wantNoRefusal holds that no server has refused a command that is needed.
func wantNoRefusal(t *testing.T, servers ...*redistest.Server) {
	t.Helper()
	for _, server := range servers {
		for command, n := range refusals(t, server) {
			if command != "info" && command != "client|setinfo" {
				t.Errorf("%s was refused %d times", command, n)
			}
		}
	}
}

func TestConformsUnderTheDocumentedACL(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	t.Run("conformance", func(t *testing.T) {
		cachetest.TestRemote(t, func(t *testing.T, check func(*testing.T, cachetest.Harness)) {
			t.Parallel()
			o := patient
			o.LeaseTTL = 1500 * time.Millisecond
			o.Prefix = prefix(t)
			letIn(t, o.Prefix, documentedRights(t, o.Prefix), server)
			url := "redis://" + o.Prefix + ":secret@" + server.Addr()
			a, b := open(t, url, o), open(t, url, o)
			check(t, cachetest.Harness{
				A: a, B: b, Crash: func() { _ = a.Close() },
				LeaseTTL:  o.LeaseTTL,
				Sleep:     func(d time.Duration) { <-time.After(d) },
				Tombstone: func(key string, ttl time.Duration) { put(t, server.Client(), o.Prefix+":"+key, tombstone, ttl) },
				Corrupt:   func(key string) { put(t, server.Client(), o.Prefix+":"+key, "corrupt", time.Hour) },
			})
		})
	})
	wantNoRefusal(t, server)
}

// The paths of a cache, on one server and on a Cluster.
func TestACacheUnderTheDocumentedACL(t *testing.T) {
	t.Parallel()
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 3)
	rights := documentedRights(t, "nearside")
	letIn(t, "nearside", rights, server)
	letIn(t, "nearside", append(rights, clusterRights...), cluster.Nodes()...)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs(), Username: "nearside", Password: "secret"})
	t.Cleanup(func() { _ = client.Close() })
	for name, run := range map[string]struct {
		servers []*redistest.Server
		store   func() (*redis.Store, error)
	}{
		"one server": {[]*redistest.Server{server}, func() (*redis.Store, error) {
			return redis.Open("redis://nearside:secret@"+server.Addr(), patient)
		}},
		"a Cluster": {cluster.Nodes(), func() (*redis.Store, error) { return redis.New(client, patient) }},
	} {
		t.Run(name, func(t *testing.T) {
			for with, o := range map[string]cache.Options[string, string]{
				"tags":       {Tags: tagsOf},
				"HoldOff":    {HoldOff: time.Second},
				"windows":    {StaleWhileRevalidate: time.Minute},
				"RemoteOnly": {RemoteOnly: true},
			} {
				store, err := run.store()
				if err != nil {
					t.Fatal(err)
				}
				defer store.Close()
				o.Name, o.TTL, o.Remote = with, time.Hour, store
				c, err := cache.New(o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				follows(t, store)
				useAll(t, c, o.Tags != nil)
				wantFindings(t, reachable(t, store))
			}
			wantNoRefusal(t, run.servers...)
		})
	}
}

// useAll calls every method of a cache that sends commands.
func useAll(t *testing.T, c *cache.Cache[string, string], tags bool) {
	t.Helper()
	ctx := t.Context()
	load := func(key string) {
		if _, err := c.GetOrLoad(ctx, key, yields[string]("v|red")); err != nil {
			t.Error(err)
		}
	}
	for _, key := range []string{"k", "l", "m", "n", "o", "p", "k"} { // after four misses the lease is taken with the read
		load(key)
	}
	calls := []error{
		c.Set(ctx, "k", "v|red"),
		c.Invalidate(ctx, "k", "l"),
		c.Mutate(ctx, []string{"k"}, func(ctx context.Context) error { load("k"); return nil }),
		c.InvalidateAll(ctx),
	}
	if tags {
		calls = append(calls, c.InvalidateTags(ctx, "red"))
	}
	for _, err := range calls {
		if err != nil {
			t.Error(err)
		}
	}
	load("k")
	idle(t, c)
}

// lines receives what a Logger writes.
type lines struct{ redistest.Lines }

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// of returns the lines that contain text.
func (l *lines) of(text string) []string {
	return slices.DeleteFunc(l.All(), func(line string) bool { return !strings.Contains(line, text) })
}

// TestAMissingRightIsFoundByName takes away one right of the documented ones at a time.
func TestAMissingRightIsFoundByName(t *testing.T) {
	t.Parallel()
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 1)
	all := slices.Concat(documentedRights(t, "nearside"), clusterRights)
	for i, right := range all {
		t.Run(right, func(t *testing.T) {
			t.Parallel()
			user, rights := prefix(t), slices.Delete(slices.Clone(all), i, i+1)
			l := &lines{}
			o := redis.Options{Logger: l.logger(), Timeout: patient.Timeout} // a slow machine is no finding
			var s *redis.Store
			if slices.Contains(clusterRights, right) {
				letIn(t, user, rights, cluster.Nodes()...)
				client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs(), Username: user, Password: "secret"})
				t.Cleanup(func() { _ = client.Close() })
				var err error
				if s, err = redis.New(client, o); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
			} else {
				letIn(t, user, rights, server)
				s = open(t, "redis://"+user+":secret@"+server.Addr(), o)
			}
			code, name := redis.FindingCommands, strings.ToUpper(strings.ReplaceAll(right[1:], "|", " "))
			if right[0] == '~' {
				code, name = redis.FindingKeys, "key"
			}
			const line = "redis is not as the Store needs it"
			redistest.Eventually(t, soon, "the self-test logs a finding", func() bool { return len(l.of(line)) > 0 })
			h := reachable(t, s)
			wantFindings(t, h, code)
			for what, text := range map[string]string{"Health": h.Findings[0].Text, "the line": l.of(line)[0]} {
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
					t.Errorf("%s says %q, want %s in it", what, text, name)
				}
			}
			if all := l.of(""); len(all) != 1 {
				t.Errorf("%d lines, want one:\n%s", len(all), strings.Join(all, "\n"))
			}
		})
	}
}

// Without +info the findings of INFO are left out, and INFO is asked for once.
func TestWithoutInfoNothingIsSaid(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
	l := &lines{}
	letIn(t, "nearside", documentedRights(t, "nearside"), server)
	s := open(t, "redis://nearside:secret@"+server.Addr(), redis.Options{Timeout: patient.Timeout, Logger: l.logger()})
	for range 5 {
		wantFindings(t, reachable(t, s))
	}
	letIn(t, "other", append(documentedRights(t, "nearside"), "+info"), server)
	wantFindings(t, reachable(t, open(t, "redis://other:secret@"+server.Addr(), patient)), redis.FindingEviction)
	if got := refusals(t, server); got["info"] != 1 {
		t.Errorf("refused: %v, want one INFO", got)
	}
	if all := l.of(""); len(all) != 0 {
		t.Errorf("lines %q, want none", all)
	}
}
