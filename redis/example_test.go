package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/redis"
)

type User struct {
	ID   int64
	Name string
}

// Users is a repository; its rows stand for a database.
type Users struct {
	rows  map[int64]string
	cache *cache.Cache[int64, User]
}

func NewUsers(url string) (*Users, error) {
	store, err := redis.Open(url, redis.Options{}) // one for all caches; Redis need not be up
	if err != nil {
		return nil, err
	}
	users, err := cache.New(cache.Options[int64, User]{
		Name:   "users",
		TTL:    10 * time.Minute, // since the last read
		Remote: store,
	})
	if err != nil {
		return nil, err
	}
	return &Users{rows: make(map[int64]string), cache: users}, nil
}

func (u *Users) Find(ctx context.Context, id int64) (User, error) {
	return u.cache.GetOrLoad(ctx, id, u.selectByID)
}

func (u *Users) Rename(ctx context.Context, id int64, name string) error {
	if err := u.update(ctx, id, name); err != nil { // until the commit
		return err
	}
	return u.cache.Invalidate(ctx, id)
}

func (u *Users) selectByID(_ context.Context, id int64) (User, error) {
	fmt.Println("SELECT")
	return User{id, u.rows[id]}, nil
}

func (u *Users) update(_ context.Context, id int64, name string) error {
	fmt.Println("UPDATE")
	u.rows[id] = name
	return nil
}

func Example() {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		panic(err)
	}
	defer server.Close()
	users, err := NewUsers("redis://" + server.Addr())
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	find := func() {
		u, err := users.Find(ctx, 7)
		fmt.Println(u.Name, err)
	}
	_ = users.Rename(ctx, 7, "Ada")
	find()
	find()
	_ = users.Rename(ctx, 7, "Grace")
	find()
	// Output:
	// UPDATE
	// SELECT
	// Ada <nil>
	// Ada <nil>
	// UPDATE
	// SELECT
	// Grace <nil>
}

// A page of states shows the health of a Store. Readiness does not depend on it: without
// Redis an instance serves from the source.
func ExampleStore_Health() {
	store, err := redis.Open("redis://127.0.0.1:1", redis.Options{}) // where no Redis is
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	http.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(store.Health(r.Context()))
	})
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {}) // 200: see above
	health := store.Health(context.Background())
	fmt.Println(health.Reachable, health.Problem != "")
	// Output: false true
}
