package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite/sqlitetest"
	"github.com/nearside-go/nearside/examples/concert/system/mail"
	"github.com/nearside-go/nearside/examples/concert/system/queue/jetstream"
	"github.com/nearside-go/nearside/examples/concert/system/service"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

const within = 20 * time.Second

// system has the servers that the instances of a test share.
type system struct {
	config service.Config
	file   string
	mail   *mail.Server
	redis  *miniredis.Miniredis
}

// newSystem starts all servers but the database.
func newSystem(t *testing.T) *system {
	t.Helper()
	broker, err := jetstream.Serve(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	post, err := mail.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = post.Close() })
	q, err := jetstream.Connect(broker.URL(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Create(t.Context(), service.Kinds[:]...); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	m := miniredis.RunT(t)
	return &system{
		redis: m, file: filepath.Join(t.TempDir(), "test.db"), mail: post,
		config: service.Config{
			Name: "test", Version: 1, Prefix: "test", Secret: "secret",
			Redis: "redis://" + m.Addr(), Queue: broker.URL(), Mail: post.URL(), Database: free.Addr().String(),
			RedisTimeout: within, // on a busy machine a late reply would be a load, or a TTL that is not renewed
		},
	}
}

// startDatabase starts the database with three concerts.
func (s *system) startDatabase(t *testing.T) {
	t.Helper()
	sqlitetest.Serve(t, s.file, s.config.Database, store.Schema(store.SerialSQLite))
	db := sqlite.Open(s.config.Database)
	defer db.Close()
	if err := store.New(db).Seed(t.Context(), 3, 50); err != nil {
		t.Fatal(err)
	}
}

// instance is a running instance.
type instance struct {
	t    *testing.T
	url  string
	stop context.CancelFunc // asks it to end
}

// start starts an instance, which need not be ready yet.
func (s *system) start(t *testing.T, change func(*service.Config)) *instance {
	t.Helper()
	config := s.config
	if change != nil {
		change(&config)
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- service.Run(ctx, text, func(a string) { addr <- a }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the instance ended with: %v", err)
		}
	})
	select {
	case a := <-addr:
		return &instance{t, "http://" + a, stop}
	case err := <-ended:
		ended <- nil
		t.Fatalf("the instance ended before it was ready: %v", err)
		return nil
	}
}

// ready waits until the instance is ready.
func (i *instance) ready() *instance {
	i.t.Helper()
	i.await("the instance is ready", func() bool { return i.send(http.MethodGet, "/readyz", "", nil).status == http.StatusOK })
	return i
}

func (i *instance) await(what string, done func() bool) {
	i.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); !done(); <-tick.C {
		if time.Now().After(end) {
			i.t.Fatalf("not so after %v: %s", within, what)
		}
	}
}

// answer is the answer to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("status %d, %q: %v", a.status, a.body, err)
	}
}

func (i *instance) send(method, path, token string, body any, headers ...string) answer {
	i.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		i.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(i.t.Context(), method, i.url+path, bytes.NewReader(text))
	if err != nil {
		i.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for k := 0; k < len(headers); k += 2 {
		req.Header.Set(headers[k], headers[k+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	answered, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		i.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, bytes.TrimSpace(answered)}
}

// signUp returns the token of a new session.
func (i *instance) signUp(email string) string {
	i.t.Helper()
	var p service.Person
	i.send(http.MethodPut, "/api/signups/"+email, "", map[string]any{"Name": "A"}).decode(i.t, &p)
	return p.Token
}

// cents returns the price of concert 1.
func (i *instance) cents() int64 {
	i.t.Helper()
	var page service.Page
	i.send(http.MethodGet, "/api/concerts/1", "", nil).decode(i.t, &page)
	return page.Cents
}

func TestAnInstanceWaitsForItsDatabase(t *testing.T) {
	s := newSystem(t)
	i := s.start(t, nil)
	i.await("it says why it is not ready", func() bool {
		a := i.send(http.MethodGet, "/readyz", "", nil)
		return a.status == http.StatusServiceUnavailable &&
			strings.HasPrefix(string(a.body), "starting: the database at "+s.config.Database+" does not answer")
	})
	if a := i.send(http.MethodGet, "/healthz", "", nil); a.status != http.StatusOK {
		t.Errorf("/healthz: status %d, want 200: the process is well", a.status)
	}
	s.startDatabase(t)
	i.ready()
}

// TestAnInstanceDrains: one that was asked to end says that it is not ready, and goes on serving.
func TestAnInstanceDrains(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	i := s.start(t, func(c *service.Config) { c.Drain = 3 * time.Second }).ready()
	i.stop()
	i.await("it drains", func() bool {
		a := i.send(http.MethodGet, "/readyz", "", nil)
		return a.status == http.StatusServiceUnavailable && string(a.body) == "draining"
	})
	if a := i.send(http.MethodGet, "/api/concerts/1", "", nil); a.status != http.StatusOK {
		t.Errorf("an instance that drains: status %d, %s", a.status, a.body)
	}
}

func TestAnInstanceNeedsNoRedis(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	for name, url := range map[string]string{"Redis is away": "redis://127.0.0.1:1", "no cache": ""} {
		t.Run(name, func(t *testing.T) {
			i := s.start(t, func(c *service.Config) { c.Redis = url }).ready()
			if a := i.send(http.MethodPut, "/api/concerts/1/price", "", map[string]any{"Cents": 4200}); a.status != http.StatusOK {
				t.Errorf("status %d, %s", a.status, a.body)
			}
			if got := i.cents(); got != 4200 {
				t.Errorf("the price is %d, want 4200", got)
			}
		})
	}
}

// TestAnInstanceThatEndsWithoutRedisHandsItsInvalidationsOn: Redis serves nobody while the
// writer ends, and serves again with what it had. So only the queue has the invalidation. The
// reader purges its edge, which may have the old answer by then.
func TestAnInstanceThatEndsWithoutRedisHandsItsInvalidationsOn(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	purged := make(chan string, 100)
	edge := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { purged <- r.Header.Get("Surrogate-Key") }))
	t.Cleanup(edge.Close)
	reader := s.start(t, func(c *service.Config) { c.Edge, c.Purger = edge.URL, service.PurgeKeys }).ready()
	old := reader.cents() // in Redis, and in the reader's local tier
	t.Run("writer", func(t *testing.T) {
		writer := s.start(t, nil).ready()
		s.redis.SetError("LOADING Redis is loading the dataset in memory")
		writer.send(http.MethodPut, "/api/concerts/1/price", "", map[string]any{"Cents": old + 1})
	}) // its end comes before Redis serves again
	s.redis.SetError("")
	reader.await("the reader shows the new price", func() bool { return reader.cents() == old+1 })
	newcomer := s.start(t, nil).ready()
	if got := newcomer.cents(); got != old+1 {
		t.Errorf("an instance that starts later shows the price %d, want %d", got, old+1)
	}
	select {
	case tags := <-purged:
		if tags != service.ConcertTag(1) {
			t.Errorf("the edge was purged of %q", tags)
		}
	case <-time.After(within):
		t.Error("the edge was not purged")
	}
}

// TestVersionsShareTheirInvalidations: the two versions cache concerts in different shapes, and
// a price that one of them changes is seen by the other.
func TestVersionsShareTheirInvalidations(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	v1 := s.start(t, nil).ready()
	v2 := s.start(t, func(c *service.Config) { c.Version = 2 }).ready()
	price := v1.cents()
	for range 2 {
		for _, pair := range [][2]*instance{{v1, v2}, {v2, v1}} {
			price++
			v1.cents()
			v2.cents()
			pair[0].send(http.MethodPut, "/api/concerts/1/price", "", map[string]any{"Cents": price})
			pair[1].await("the other version shows the new price", func() bool { return pair[1].cents() == price })
		}
	}
	for _, i := range []*instance{v1, v2} {
		var st service.Stats
		i.send(http.MethodGet, "/statsz", "", nil).decode(t, &st)
		if st.Corrupt != 0 || st.Local == 0 {
			t.Errorf("%d corrupt records, %d local hits, want none and some", st.Corrupt, st.Local)
		}
	}
}
