package local_test

import (
	"fmt"
	"time"

	"github.com/nearside-go/nearside/local"
)

func ExampleStore() {
	prices, err := local.New[string, int](local.Options{MaxEntries: 1000, TTL: time.Minute})
	if err != nil {
		panic(err)
	}
	prices.Add("tea", 350, 1, local.Lifetime{TTL: 10 * time.Second, Slides: true})

	price, ok := prices.Get("tea")
	fmt.Println(price, ok)

	fmt.Println(prices.Remove("tea"))
	price, ok = prices.Get("tea")
	fmt.Println(price, ok)
	// Output:
	// 350 true
	// true
	// 0 false
}

// An Add returns the entries that made way. Which ones depends on use, and
// where the store is bounded by cost, on how much room is needed.
func ExampleStore_Add() {
	pages, err := local.New[string, string](local.Options{MaxEntries: 100, MaxCost: 10})
	if err != nil {
		panic(err)
	}
	life := local.Lifetime{TTL: time.Minute}
	pages.Add("home", "<h1>", 4, life)
	pages.Add("help", "<h2>", 4, life)
	pages.Get("home") // help is now the least recently used

	for _, e := range pages.Add("news", "<h3>", 5, life) {
		fmt.Println("evicted", e.Key, e.Value)
	}
	st := pages.Stats()
	fmt.Println(st.Entries, "entries cost", st.Cost)
	// Output:
	// evicted help <h2>
	// 2 entries cost 9
}

// An entry can ask to be renewed elsewhere, for example in a remote store, while
// it is read here. One caller in each period is told.
func ExampleStore_Lookup() {
	sessions, err := local.New[int, string](local.Options{})
	if err != nil {
		panic(err)
	}
	sessions.Add(42, "alice", 1, local.Lifetime{
		TTL:        time.Hour,
		Slides:     true,
		MaxAge:     24 * time.Hour,
		RenewEvery: 10 * time.Minute, // the first time at once: RenewIn is zero
	})
	for range 3 {
		user, due, ok := sessions.Lookup(42)
		fmt.Println(user, due, ok)
	}
	// Output:
	// alice true true
	// alice false true
	// alice false true
}

// A report reads each price once. With TwoQueue it displaces no price that was needed again
// soon after it had been evicted.
func ExamplePolicy() {
	prices, err := local.New[int, int](local.Options{MaxEntries: 100, Policy: local.TwoQueue})
	if err != nil {
		panic(err)
	}
	get := func(id int) (hit bool) {
		if _, hit = prices.Get(id); !hit {
			prices.Add(id, 350, 1, local.Lifetime{TTL: time.Hour})
		}
		return hit
	}
	report := func(from, to int) {
		for id := from; id < to; id++ {
			get(id)
		}
	}
	get(42)
	report(100, 200)
	fmt.Println(get(42))
	report(1000, 2000)
	fmt.Println(get(42))
	// Output:
	// false
	// true
}
