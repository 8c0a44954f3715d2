package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
)

var batchSizes = []int{10, 100, 1000}

func loadMany(_ context.Context, keys []string) (map[string]user, error) {
	found := make(map[string]user, len(keys))
	for _, key := range keys {
		found[key] = sample
	}
	return found, nil
}

// mget is the plain way to read many keys: MGET, and the same decoding.
func mget(ctx context.Context, client *goredis.Client, keys []string) (map[string]user, error) {
	replies, err := client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	found := make(map[string]user, len(keys))
	for i, reply := range replies {
		text, ok := reply.(string)
		if !ok {
			continue
		}
		var u user
		if err := json.Unmarshal([]byte(text), &u); err != nil {
			return nil, err
		}
		found[keys[i]] = u
	}
	return found, nil
}

// BenchmarkManyHits compares GetOrLoadMany of keys that only Redis has with MGET and the same
// decoding, and with GetOrLoad in a loop.
func BenchmarkManyHits(b *testing.B) {
	for _, n := range batchSizes {
		ctx := context.Background()
		c, client := twoTiers(b, cache.Options[string, user]{Local: local.Options{MaxEntries: 1}})
		ks := keys()[:n]
		encoded, err := json.Marshal(sample)
		must(b, err)
		_, err = c.GetOrLoadMany(ctx, ks, loadMany)
		must(b, err)
		for _, key := range ks {
			must(b, client.Set(ctx, key, encoded, time.Hour).Err())
		}
		for c.Stats().Background > 0 {
			runtime.Gosched()
		}
		many := func(int) {
			if found, err := c.GetOrLoadMany(ctx, ks, loadMany); err != nil || len(found) != n {
				b.Errorf("%d of %d keys, %v", len(found), n, err)
			}
		}
		b.Run(fmt.Sprint(n, "-keys/MGET"), func(b *testing.B) {
			compare(b, 1, many, func(int) {
				if found, err := mget(ctx, client, ks); err != nil || len(found) != n {
					b.Errorf("%d of %d keys, %v", len(found), n, err)
				}
			})
		})
		b.Run(fmt.Sprint(n, "-keys/loop"), func(b *testing.B) {
			compare(b, 1, many, func(int) {
				for _, key := range ks {
					_, err := c.GetOrLoad(ctx, key, load)
					must(b, err)
				}
			})
		})
	}
}

// BenchmarkManyMisses compares GetOrLoadMany of keys that nobody has with MGET, one load, and a
// pipeline of SETs.
func BenchmarkManyMisses(b *testing.B) {
	for _, n := range batchSizes {
		b.Run(fmt.Sprint(n, "-keys"), func(b *testing.B) {
			ctx := context.Background()
			c, client := twoTiers(b, cache.Options[string, user]{})
			fresh := 0
			next := func() []string {
				ks := make([]string, n)
				for i := range ks {
					fresh++
					ks[i] = "miss:" + strconv.Itoa(fresh)
				}
				return ks
			}
			compare(b, 1, func(int) {
				_, err := c.GetOrLoadMany(ctx, next(), loadMany)
				must(b, err)
			}, func(int) {
				ks := next()
				_, err := mget(ctx, client, ks)
				must(b, err)
				found, err := loadMany(ctx, ks)
				must(b, err)
				pipe := client.Pipeline()
				for key, u := range found {
					data, _ := json.Marshal(u)
					pipe.Set(ctx, key, data, time.Hour)
				}
				_, err = pipe.Exec(ctx)
				must(b, err)
			})
		})
	}
}
