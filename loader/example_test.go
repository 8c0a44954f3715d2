package loader_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// A load keeps its result in a cache. When the key is declared wrong while the
// load runs, the result still goes to the callers, and no further.
func ExampleGroup() {
	names := make(map[int]string) // a cache; with more callers it needs a mutex
	var users loader.Group[int, string]

	rename := func() {
		users.Doom(42)
		delete(names, 42)
	}
	read := func(load func() string) {
		name, err := users.Do(context.Background(), 42, loader.Work[string]{
			Load: func(_ context.Context, f *loader.Flight[string]) (string, error) {
				name := load()
				f.Publish(func() { names[42] = name })
				return name, nil
			},
		})
		fmt.Printf("got %q %v, cached %q\n", name, err, names[42])
	}

	read(func() string { rename(); return "alice" })
	read(func() string { return "bob" })
	users.Wait()
	// Output:
	// got "alice" <nil>, cached ""
	// got "bob" <nil>, cached "bob"
}

// A load that loads needs one place. Who has no time left to wait for a place
// gets its context's error.
func ExampleLimit() {
	limit := loader.NewLimit(1)
	hurried, cancel := context.WithCancel(context.Background())
	cancel()

	err := limit.Run(context.Background(), func(ctx context.Context) {
		fmt.Println("the order")
		err := limit.Run(ctx, func(context.Context) { fmt.Println("its customer") })
		fmt.Println(err)
		err = limit.Run(hurried, func(context.Context) { fmt.Println("never") })
		fmt.Println(err)
	})
	fmt.Println(err)
	// Output:
	// the order
	// its customer
	// <nil>
	// context canceled
	// <nil>
}

// Each goroutine reads one user. Their reads become one query.
func ExampleBatcher() {
	users, err := loader.NewBatcher(func(_ context.Context, ids []int) (map[int]string, error) {
		fmt.Println("SELECT id, name FROM users WHERE id IN", len(ids), "ids")
		return map[int]string{1: "alice", 2: "bob"}, nil
	}, loader.BatcherOptions{MaxKeys: 3, MaxDelay: time.Minute})
	if err != nil {
		panic(err)
	}
	var names [3]string
	var readers sync.WaitGroup
	for i := range names {
		readers.Go(func() {
			// With a cache: cache.GetOrLoad(ctx, i, users.Load)
			name, err := users.Load(context.Background(), i)
			names[i] = fmt.Sprint(name, " ", err)
		})
	}
	readers.Wait()
	fmt.Println(names)
	// Output:
	// SELECT id, name FROM users WHERE id IN 3 ids
	// [ nearside: not found alice <nil> bob <nil>]
}
