package redis

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
)

func TestWhatAServerSaysOfItself(t *testing.T) {
	for _, test := range []struct {
		hello  any
		single bool
		server string
		code   string // "" for no finding
	}{
		{map[any]any{"server": "redis", "version": "7.0.15", "mode": "standalone", "role": "master"}, true, "redis 7.0.15", ""},
		{[]any{"server", "valkey", "version", "8.1.1", "proto", int64(2), "modules", []any{}}, true, "valkey 8.1.1", ""},
		{[]any{"server", "redis", "version", "6.2.6"}, true, "redis 6.2.6", FindingVersion},
		{[]any{"server", "other", "version", "1.0"}, true, "other 1.0", ""},
		{[]any{"server", "redis", "version"}, true, "", ""},
		{[]any{"server", "a key: of a user", "version", "7.0"}, true, "", ""},
		{map[any]any{"mode": "sentinel"}, true, "", FindingSentinel},
		{map[any]any{"mode": "cluster", "role": "replica"}, true, "", FindingCluster},
		{map[any]any{"mode": "cluster", "role": "replica"}, false, "", ""},
		{map[any]any{"role": "replica"}, true, "", FindingReplica},
		{map[any]any{"role": "slave"}, true, "", FindingReplica},
		{"OK", true, "", ""},
		{nil, true, "", ""},
	} {
		var i inspection
		i.greeted(test.single, pairs(test.hello))
		code := ""
		if len(i.findings) > 0 {
			code = i.findings[0].Code
		}
		if i.server != test.server || code != test.code || len(i.findings) > 1 {
			t.Errorf("%v: server %q, findings %v; want %q, %q", test.hello, i.server, i.findings, test.server, test.code)
		}
	}
}

// A server that cannot tell what the user may call, as miniredis, has refused a command
// before: that is the finding.
func TestTheFindingOfAServerThatCannotTell(t *testing.T) {
	server := miniredis.RunT(t)
	s, err := Open("redis://"+server.Addr(), Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if h := s.Health(t.Context()); !h.Reachable || len(h.Findings) != 0 {
		t.Errorf("Health = %+v", h)
	}
	s.noteRefusal(reply(replyNoPermission + " XADD"))
	want := Finding{FindingCommands, "the server refuses a command that the Store needs: " + replyNoPermission + " XADD"}
	if h := s.Health(t.Context()); !h.Reachable || !slices.Equal(h.Findings, []Finding{want}) {
		t.Errorf("Health = %+v", h)
	}
}

func TestMisfits(t *testing.T) {
	s := &Store{client: goredis.NewClient(&goredis.Options{})}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{io.EOF, true},
		{syscall.ECONNRESET, true},
		{errors.New(`redis: can't parse map reply: "HTTP/1.1 400 Bad Request"`), true},
		{syscall.ECONNREFUSED, false},
		{reply("WRONGPASS the user name or the password is wrong"), false},
		{errLost, false},
		{errSilent, false},
	} {
		if got := s.misfit(test.err); (len(got) == 1) != test.want {
			t.Errorf("%v: findings %v, want one: %v", test.err, got, test.want)
		}
	}
}
