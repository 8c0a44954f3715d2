package peers

import (
	"context"
	"encoding/json"

	"github.com/dtm-labs/rockscache"
	goredis "github.com/redis/go-redis/v9"
)

type rockscacheInstance struct {
	client   *goredis.Client
	cache    *rockscache.Client
	settings Settings
}

func openRockscache(url string, s Settings) (Instance, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	return &rockscacheInstance{client, rockscache.NewClient(client, rockscache.NewDefaultOptions()), s}, nil
}

func (r *rockscacheInstance) Get(ctx context.Context, key string) (User, error) {
	var u User
	// Fetch, and not Fetch2: after a delete rockscache returns the old value and loads the
	// new one in the background, which the end of a context of the caller would stop.
	// Fetch subtracts Delay from the expiration.
	data, err := r.cache.Fetch(key, r.settings.TTL+r.cache.Options.Delay, func() (string, error) {
		loaded, err := r.settings.Load(ctx, key)
		if err != nil {
			return "", err
		}
		encoded, err := json.Marshal(loaded)
		return string(encoded), err
	})
	if err == nil {
		err = json.Unmarshal([]byte(data), &u)
	}
	return u, err
}

func (r *rockscacheInstance) Delete(_ context.Context, key string) error {
	return r.cache.TagAsDeleted(key)
}

func (r *rockscacheInstance) Close() error { return r.client.Close() }
