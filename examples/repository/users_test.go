package repository_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/examples/repository"
	"github.com/nearside-go/nearside/redis"
)

// service is a database and a Redis, and the repository of one instance.
type service struct {
	t     *testing.T
	db    *sql.DB
	reads *counting
	redis *miniredis.Miniredis
	users *repository.Users
}

func newService(t *testing.T) *service {
	s := &service{t: t, redis: miniredis.RunT(t)}
	s.reads = &counting{path: filepath.Join(t.TempDir(), "users.db") + "?_pragma=busy_timeout(5000)"}
	s.db = sql.OpenDB(s.reads)
	t.Cleanup(func() { noError(t, s.db.Close()) })
	_, err := s.db.Exec(repository.Table)
	noError(t, err)
	s.users = s.newInstance()
	return s
}

// newInstance returns the repository of another instance of the service.
func (s *service) newInstance() *repository.Users {
	// Who counts queries waits for Redis, also on a machine that is busy.
	store, err := redis.Open("redis://"+s.redis.Addr(), redis.Options{Timeout: 5 * time.Second})
	noError(s.t, err)
	s.t.Cleanup(func() { noError(s.t, store.Close()) })
	users, err := repository.NewUsers(s.db, store)
	noError(s.t, err)
	s.t.Cleanup(func() { noError(s.t, users.Close()) })
	return users
}

// laterInstance returns the repository of an instance that starts when the position of the
// cache is recorded in Redis, a moment after the first fill. One that starts before takes
// nothing from there.
func (s *service) laterInstance() *repository.Users {
	s.t.Helper()
	for range 1000 {
		for _, key := range s.redis.Keys() {
			const never = "18446744073709551615" // the mark of who is about to record it
			if at, err := s.redis.Get(key); err == nil && strings.HasSuffix(key, "::") && !strings.Contains(at, never) {
				return s.newInstance()
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	s.t.Fatal("the position of the cache is not recorded")
	return nil
}

// finds checks what users has under id, and what it costs to find out.
func (s *service) finds(users *repository.Users, id int64, name string, queries int64) {
	s.t.Helper()
	before := s.reads.selects.Load()
	user, err := users.Find(s.t.Context(), id)
	noError(s.t, err)
	if want := (repository.User{ID: id, Name: name}); user != want {
		s.t.Errorf("found %+v, want %+v", user, want)
	}
	s.cost(before, queries)
}

// renames renames until that succeeds.
func (s *service) renames(id int64, name string) {
	s.t.Helper()
	var err error
	for range 1000 {
		if err = s.users.Rename(s.t.Context(), id, name); err == nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	s.t.Fatal(err)
}

func (s *service) findsNothing(users *repository.Users, id, queries int64) {
	s.t.Helper()
	before := s.reads.selects.Load()
	if user, err := users.Find(s.t.Context(), id); !errors.Is(err, cache.ErrNotFound) {
		s.t.Errorf("found %+v and error %v, want cache.ErrNotFound", user, err)
	}
	s.cost(before, queries)
}

func (s *service) cost(before, want int64) {
	s.t.Helper()
	if got := s.reads.selects.Load() - before; got != want {
		s.t.Errorf("that cost %d queries, want %d", got, want)
	}
}

func (s *service) create(name string) int64 {
	s.t.Helper()
	user, err := s.users.Create(s.t.Context(), name)
	noError(s.t, err)
	return user.ID
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestASecondFindCostsNoQuery(t *testing.T) {
	s := newService(t)
	id := s.create("ada")
	s.finds(s.users, id, "ada", 1)
	s.finds(s.users, id, "ada", 0)
}

func TestAnotherInstanceFindsInRedis(t *testing.T) {
	s := newService(t)
	id := s.create("ada")
	s.finds(s.users, id, "ada", 1)
	s.finds(s.laterInstance(), id, "ada", 0)
}

func TestFindAfterRenameGivesTheNewName(t *testing.T) {
	s := newService(t)
	id := s.create("ada")
	s.finds(s.users, id, "ada", 1)
	noError(t, s.users.Rename(t.Context(), id, "augusta"))
	s.finds(s.users, id, "augusta", 1)
	s.finds(s.laterInstance(), id, "augusta", 0)
}

func TestAnUnknownIDCostsOneQuery(t *testing.T) {
	s := newService(t)
	s.findsNothing(s.users, 1, 1)
	s.findsNothing(s.users, 1, 0)
	s.findsNothing(s.laterInstance(), 1, 0)
}

func TestWhatIsCreatedAfterANotFoundIsFound(t *testing.T) {
	s := newService(t)
	s.findsNothing(s.users, 1, 1)
	if id := s.create("ada"); id != 1 {
		t.Fatalf("created id %d, want 1", id)
	}
	s.finds(s.users, 1, "ada", 1)
	s.finds(s.laterInstance(), 1, "ada", 0)
}

func TestRenameOfAnUnknownID(t *testing.T) {
	s := newService(t)
	if err := s.users.Rename(t.Context(), 1, "ada"); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("error %v, want cache.ErrNotFound", err)
	}
}

func TestARenameThatDoesNotCommitChangesNothing(t *testing.T) {
	s := newService(t)
	id := s.create("ada")
	s.finds(s.users, id, "ada", 1)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.users.Rename(ended, id, "augusta"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	s.finds(s.users, id, "ada", 1)
}

func TestRenameWithoutRedisSaysSoAndIsReadBack(t *testing.T) {
	goredis.SetLogger(silent{})
	s := newService(t)
	id := s.create("ada")
	s.finds(s.users, id, "ada", 1)

	s.redis.Close()
	var remote *cache.RemoteError
	if err := s.users.Rename(t.Context(), id, "augusta"); !errors.As(err, &remote) {
		t.Errorf("error %v, want a *cache.RemoteError", err)
	}
	s.finds(s.users, id, "augusta", 1)

	noError(t, s.redis.Restart())
	s.renames(id, "augusta") // once the store has found out that Redis is back
	s.finds(s.newInstance(), id, "augusta", 1)
}

// silent takes the place of go-redis' logger.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
