package peers

import (
	"context"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/viccon/sturdyc"
)

// sturdycInstance is a cache in memory, with Redis as its distributed storage.
type sturdycInstance struct {
	storage  *sturdycStorage
	users    *sturdyc.Client[User]
	settings Settings
}

func openSturdyc(url string, s Settings) (Instance, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	entries, shards, evicted := localEntries, 10, 10 // as in its README
	if s.NoLocal {
		entries, shards, evicted = 1, 1, 0 // the first entry stays
	}
	storage := &sturdycStorage{client: client, ttl: s.TTL}
	users := sturdyc.New[User](entries, shards, localTTL, evicted,
		sturdyc.WithNoContinuousEvictions(), // their goroutine never ends
		sturdyc.WithDistributedStorage(storage))
	return &sturdycInstance{storage, users, s}, nil
}

func (s *sturdycInstance) Get(ctx context.Context, key string) (User, error) {
	return s.users.GetOrFetch(ctx, key, func(ctx context.Context) (User, error) {
		u, err := s.settings.Load(ctx, key)
		return u, s.storage.expect(err)
	})
}

func (s *sturdycInstance) GetMany(ctx context.Context, keys []string) (map[string]User, error) {
	return s.users.GetOrFetchBatch(ctx, keys, func(key string) string { return key },
		func(ctx context.Context, keys []string) (map[string]User, error) {
			us, err := s.settings.LoadMany(ctx, keys)
			return us, s.storage.expect(err)
		})
}

func (s *sturdycInstance) Background() int { return int(s.storage.fills.Load()) }

func (s *sturdycInstance) Delete(ctx context.Context, key string) error {
	s.users.Delete(key)
	return s.storage.client.Del(ctx, key).Err()
}

func (s *sturdycInstance) Close() error { return s.storage.client.Close() }

// sturdycStorage reads many keys with MGET, and writes them with a pipeline of SET, because
// MSET takes no TTL.
type sturdycStorage struct {
	client *goredis.Client
	ttl    time.Duration
	fills  atomic.Int64 // loads whose values are not yet stored
}

// expect counts a load that has ended: if it has succeeded, a fill follows.
func (s *sturdycStorage) expect(err error) error {
	if err == nil {
		s.fills.Add(1)
	}
	return err
}

func (s *sturdycStorage) Get(ctx context.Context, key string) ([]byte, bool) {
	value, err := s.client.Get(ctx, key).Bytes()
	return value, err == nil
}

func (s *sturdycStorage) Set(ctx context.Context, key string, value []byte) {
	defer s.fills.Add(-1)
	_ = s.client.Set(ctx, key, value, s.ttl).Err()
}

func (s *sturdycStorage) GetBatch(ctx context.Context, keys []string) map[string][]byte {
	values, err := s.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil
	}
	records := make(map[string][]byte, len(keys))
	for i, value := range values {
		if text, ok := value.(string); ok {
			records[keys[i]] = []byte(text)
		}
	}
	return records
}

func (s *sturdycStorage) SetBatch(ctx context.Context, records map[string][]byte) {
	defer s.fills.Add(-1)
	pipeline := s.client.Pipeline()
	for key, value := range records {
		pipeline.Set(ctx, key, value, s.ttl)
	}
	_, _ = pipeline.Exec(ctx)
}
