package cachetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// users is a repository like those of the README's readers.
type users struct {
	rows  map[int64]string
	cache *cache.Cache[int64, string]
}

// usersOf returns the constructor of instances that share a source.
func usersOf(rows map[int64]string) func(*testing.T, cache.Remote) *users {
	return func(t *testing.T, remote cache.Remote) *users {
		t.Helper()
		c, err := cache.New(cache.Options[int64, string]{Name: "users", TTL: time.Minute, Remote: remote})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return &users{rows, c}
	}
}

func (u *users) find(ctx context.Context, id int64) (string, error) {
	return u.cache.GetOrLoad(ctx, id, func(_ context.Context, id int64) (string, error) { return u.rows[id], nil })
}

func (u *users) Rename(ctx context.Context, id int64, name string) error {
	u.rows[id] = name
	return u.cache.Invalidate(ctx, id)
}

func wantName(t *testing.T, u *users, id int64, want string) {
	t.Helper()
	if got, err := u.find(t.Context(), id); err != nil || got != want {
		t.Errorf("user %d is %q, %v; want %q", id, got, err, want)
	}
}

// The README shows this test.
func TestRenameReachesTheOtherInstance(t *testing.T) {
	newUsers := usersOf(map[int64]string{7: "Ada"})
	synctest.Test(t, func(t *testing.T) {
		server := cachetest.NewServer() // in place of Redis
		remote := server.Remote()
		a, b := newUsers(t, remote), newUsers(t, server.Remote()) // two instances
		wantName(t, b, 7, "Ada")
		if err := a.Rename(t.Context(), 7, "Grace"); err != nil {
			t.Error(err)
		}
		synctest.Wait() // until the invalidation has reached b
		wantName(t, b, 7, "Grace")

		remote.Inject(func(string) cachetest.Fault { return cachetest.Fault{Err: cache.ErrUnavailable} })
		var failed *cache.RemoteError
		if err := a.Rename(t.Context(), 7, "Ada"); !errors.As(err, &failed) {
			t.Errorf("error %v, want a *cache.RemoteError", err)
		}
		wantName(t, a, 7, "Ada")
	})
}
