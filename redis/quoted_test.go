package redis_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// What no error and no line may hold.
const (
	secretKey   = "S3CRETKEY"
	secretTag   = "S3CRETTAG"
	secretValue = "S3CRETVALUE"
)

// quotes are replies to a command that quote all of its arguments.
var quotes = map[string]func(args []string) string{
	"unknown command": func(args []string) string {
		return "-ERR unknown command '" + args[0] + "', with args beginning with: '" + strings.Join(args[1:], "' '") + "' "
	},
	"unknown key": func(args []string) string { return "-ERR unknown command '" + args[len(args)-1] + "'" },
	"no permission": func(args []string) string {
		return "-NOPERM no permissions to run the '" + strings.Join(args, " ") + "' command"
	},
	"no key": func(args []string) string {
		return "-NOPERM no permissions to access the key " + strings.Join(args[1:], " ")
	},
	"arguments first": func(args []string) string { return "-" + strings.Join(args[1:], "") },
	"busy":            func(args []string) string { return "-BUSY " + strings.Join(args, " ") },
	"moved":           func(args []string) string { return "-MOVED 1 " + strings.Join(args, "") },
	"of a script":     func(args []string) string { return "-ERR Error running script: -OOM " + strings.Join(args, " ") },
	"resp3 error": func(args []string) string {
		all := strings.Join(args, " ")
		return "!" + strconv.Itoa(len(all)) + "\r\n" + all
	},
	"garbage": func(args []string) string { return "?" + strings.Join(args, " ") },
	"number":  func(args []string) string { return ":" + strings.Join(args, " ") },
	"string":  func(args []string) string { return "+" + strings.Join(args, " ") },
	"size":    func(args []string) string { return "$" + strings.Join(args, " ") },
	"list":    func(args []string) string { return "*1\r\n+" + strings.Join(args, " ") },
}

// quoter starts a server that answers each command by reply, but those of a handshake.
func quoter(t *testing.T, reply func([]string) string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go quote(conn, reply)
		}
	}()
	return l.Addr().String()
}

func quote(conn net.Conn, reply func([]string) string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		args, err := readCommand(in)
		if err != nil {
			return
		}
		text := "-ERR no handshake"
		if name := strings.ToLower(args[0]); name != "hello" && name != "client" {
			for i, arg := range args {
				args[i] = strings.NewReplacer("\r", " ", "\n", " ").Replace(arg)
			}
			text = reply(args)
		}
		if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
			return
		}
	}
}

func readCommand(in *bufio.Reader) (args []string, err error) {
	n, err := readCount(in)
	for ; err == nil && n > 0; n-- {
		var size int
		if size, err = readCount(in); err != nil {
			break
		}
		arg := make([]byte, size+len("\r\n"))
		if _, err = io.ReadFull(in, arg); err == nil {
			args = append(args, string(arg[:size]))
		}
	}
	if err == nil && len(args) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return args, err
}

func readCount(in *bufio.Reader) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// secrets collects all that is said of an instance.
type secrets struct {
	mu  sync.Mutex // guards all
	all bytes.Buffer
}

func (s *secrets) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(b)
}

func (s *secrets) note(what string, err error) {
	if err != nil {
		fmt.Fprintf(s, "%s: %v | %+v\n", what, err, err)
	}
}

// wantNone wants nothing that was said to hold a secret.
func (s *secrets) wantNone(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all.Len() == 0 {
		t.Error("nothing was said")
	}
	for line := range strings.Lines(s.all.String()) {
		if strings.Contains(strings.ToUpper(line), "S3CRET") {
			t.Errorf("a secret is in %s", line)
		}
	}
}

func (s *secrets) options() redis.Options {
	return redis.Options{
		Timeout: patient.Timeout, MaxFailures: 1000, LogTimeout: quickLog,
		Logger: slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Trace: &redis.Trace{
			Breaker: func(_ context.Context, i redis.BreakerInfo) { s.note("breaker", i.Err) },
			Log:     func(_ context.Context, i redis.LogInfo) { s.note("log", i.Err) },
		},
	}
}

// callAll calls every method of a Store, and of a cache on it, with secrets.
func (s *secrets) callAll(t *testing.T, store *redis.Store) {
	t.Helper()
	c := cacheOn(t, store, cache.Options[string, string]{
		Tags:   func(string, string) []string { return []string{secretTag} },
		Logger: slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Trace: &cache.Trace{
			RemoteError: func(_ context.Context, i cache.RemoteErrorInfo) { s.note("remote", i.Err) },
			Fill:        func(_ context.Context, i cache.FillInfo) { s.note("fill", i.Err) },
			Corrupt:     func(_ context.Context, i cache.CorruptInfo) { s.note("corrupt", i.Err) },
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	key, tag := "c:0:"+secretKey, "c::"+secretTag
	calls := []struct {
		what string
		call func() error
	}{
		{"Lease", func() error { return s.use(ctx, store) }},
		{"Get", func() error { _, err := store.Get(ctx, key, false); return err }},
		{"GetOrLease", func() error {
			l, _, err := store.GetOrLease(ctx, key, time.Minute, true)
			if l != nil {
				_, err = l.Release(ctx)
			}
			return err
		}},
		{"Wait", func() error { _, err := store.Wait(ctx, key); return err }},
		{"Touch", func() error { _, err := store.Touch(ctx, key); return err }},
		{"Invalidate", func() error { return store.Invalidate(ctx, []string{key}, time.Second) }},
		{"Guard", func() error { return store.Guard(ctx, remote.Token{}, []string{key}, time.Second) }},
		{"Unguard", func() error { return store.Unguard(ctx, remote.Token{}, []string{key}, time.Second) }},
		{"Announce", func() error { return store.Announce(ctx, key) }},
		{"End", func() error { _, err := store.End(ctx, key); return err }},
		{"TagPositions", func() error { _, err := store.TagPositions(ctx, tag); return err }},
		{"InvalidateTags", func() error {
			_, err := store.InvalidateTags(ctx, []string{tag}, time.Minute)
			return err
		}},
		{"RecordTags", func() error {
			return store.RecordTags(ctx, remote.Position{}, remote.Position{Time: 1}, time.Minute, tag)
		}},
		{"Cache.Get", func() error { _, err := c.Get(ctx, secretKey); return err }},
		{"Cache.GetOrLoad", func() error { _, err := c.GetOrLoad(ctx, secretKey, yields[string](secretValue)); return err }},
		{"Cache.Set", func() error { return c.Set(ctx, secretKey, secretValue) }},
		{"Cache.Mutate", func() error {
			return c.Mutate(ctx, []string{secretKey}, func(context.Context) error { return nil })
		}},
		{"Cache.Invalidate", func() error { return c.Invalidate(ctx, secretKey) }},
		{"Cache.InvalidateTags", func() error { return c.InvalidateTags(ctx, secretTag) }},
		{"Cache.InvalidateAll", func() error { return c.InvalidateAll(ctx) }},
	}
	for _, c := range calls {
		s.note(c.what, c.call())
	}
	s.note("Close", c.Close())
	s.note("Close", store.Close())
}

// use takes a lease, fills it and releases it.
func (s *secrets) use(ctx context.Context, store *redis.Store) error {
	key := "c:0:" + secretKey
	l, _, err := store.Lease(ctx, key, time.Second, nil)
	s.note("Lease", err)
	if l == nil {
		l, err = store.Seize(ctx, key, time.Second)
	}
	if l != nil {
		_, err := l.Fill(ctx, remote.Fill{Payload: []byte(secretValue), TTL: time.Minute, MaxAge: time.Minute, Tags: []string{secretTag}})
		s.note("Fill", err)
		_, err = l.Release(ctx)
		s.note("Release", err)
	}
	return err
}

func TestNothingThatAServerQuotesIsSaid(t *testing.T) {
	t.Parallel()
	for name, reply := range quotes {
		for with, store := range makers {
			t.Run(name+"/"+with, func(t *testing.T) {
				t.Parallel()
				s := &secrets{}
				s.callAll(t, store(t, quoter(t, reply), s.options()))
				s.wantNone(t)
			})
		}
	}
}

func TestNothingThatRedisQuotesIsSaid(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"GET", "PTTL", "SET", "DEL", "UNLINK", "EVAL", "EVALSHA", "XADD", "XREAD", "XRANGE", "XREVRANGE", "XLEN", "TIME", "GETRANGE", "SETRANGE", "STRLEN", "PEXPIRE", "CLUSTER"} {
		t.Run("renamed/"+command, func(t *testing.T) {
			t.Parallel()
			s := &secrets{}
			s.callAll(t, opened(t, redistest.Start(t, "--rename-command", command, "").Addr(), s.options()))
			s.wantNone(t)
		})
		t.Run("denied/"+command, func(t *testing.T) {
			t.Parallel()
			server, s := redistest.Start(t), &secrets{}
			allow(t, server, "+@all", "-"+strings.ToLower(command), "~*")
			s.callAll(t, open(t, "redis://user:secret@"+server.Addr(), s.options()))
			s.wantNone(t)
		})
	}
	t.Run("denied/keys", func(t *testing.T) {
		t.Parallel()
		server, s := redistest.Start(t), &secrets{}
		allow(t, server, "+@all", "~nothing:*")
		s.callAll(t, open(t, "redis://user:secret@"+server.Addr(), s.options()))
		s.wantNone(t)
	})
}

// allow makes a user named user with rights.
func allow(t *testing.T, server *redistest.Server, rights ...any) {
	t.Helper()
	acl := append([]any{"acl", "setuser", "user", "on", ">secret", "reset", "on", ">secret", "&*"}, rights...)
	if err := server.Client().Do(t.Context(), acl...).Err(); err != nil {
		t.Fatal(err)
	}
}

// A command that the Store needs and the server refuses is logged once, by name: by the
// self-test, or because a command was refused before.
func TestARefusedCommandIsToldOnce(t *testing.T) {
	t.Parallel()
	count := func(s *secrets, text string) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Count(s.all.String(), text)
	}
	for command, names := range map[string]string{
		"EVAL": "EVAL", "EVALSHA": "EVALSHA", "XADD": "XADD", "XREVRANGE": "XREVRANGE", "GET": "GET", "TIME": "that a script calls", "ECHO": "",
	} {
		for _, how := range []string{"renamed", "denied"} {
			t.Run(how+"/"+command, func(t *testing.T) {
				t.Parallel()
				s, url, names := &secrets{}, "", names
				if how == "renamed" {
					url = redistest.Start(t, "--rename-command", command, "").URL()
					if command == "TIME" {
						names = "a script calls a command"
					}
				} else {
					server := redistest.Start(t)
					allow(t, server, "+@all", "-"+strings.ToLower(command), "~*")
					url = "redis://user:secret@" + server.Addr()
				}
				store := open(t, url, s.options())
				s.callAll(t, store)
				want := 1
				if command == "ECHO" {
					want = 0
				}
				const line = "redis is not as the Store needs it"
				if n := count(s, line); n != want {
					t.Fatalf("%d lines, want %d:\n%s", n, want, s.all.String())
				}
				if count(s, names) == 0 && count(s, command) == 0 && want == 1 {
					t.Errorf("the line says neither %q nor %q:\n%s", names, command, s.all.String())
				}
			})
		}
	}
}
