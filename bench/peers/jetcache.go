package peers

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"

	jetcache "github.com/mgtv-tech/jetcache-go"
	"github.com/mgtv-tech/jetcache-go/local"
	"github.com/mgtv-tech/jetcache-go/remote"
	goredis "github.com/redis/go-redis/v9"
)

const (
	jetcacheName    = "users"
	jetcacheChannel = "users-changed"
)

var jetcacheInstances atomic.Int64

type jetcacheInstance struct {
	client   *goredis.Client
	changes  *goredis.PubSub
	cache    jetcache.Cache
	users    *jetcache.T[string, User]
	settings Settings
}

func openJetcache(url string, s Settings) (Instance, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	self := strconv.FormatInt(jetcacheInstances.Add(1), 10)
	j := &jetcacheInstance{client: client, changes: client.Subscribe(context.Background(), jetcacheChannel), settings: s}
	options := []jetcache.Option{
		jetcache.WithName(jetcacheName), jetcache.WithRemote(remote.NewGoRedisV9Adapter(client)), jetcache.WithSourceId(self),
	}
	if !s.NoLocal {
		options = append(options,
			jetcache.WithLocal(local.NewTinyLFU(ristrettoCost*localEntries, localTTL)),
			jetcache.WithSyncLocal(true),
			jetcache.WithEventHandler(j.publish),
		)
	}
	j.cache = jetcache.New(options...)
	j.users = jetcache.NewT[string, User](j.cache)
	go j.follow(self)
	return j, nil
}

func (j *jetcacheInstance) publish(e *jetcache.Event) {
	if message, err := json.Marshal(e); err == nil {
		_ = j.client.Publish(context.Background(), jetcacheChannel, message).Err()
	}
}

// follow drops the local copies that other instances have changed, until Close.
func (j *jetcacheInstance) follow(self string) {
	for message := range j.changes.Channel() {
		var e jetcache.Event
		if json.Unmarshal([]byte(message.Payload), &e) != nil || e.SourceID == self {
			continue
		}
		for _, key := range e.Keys {
			j.cache.DeleteFromLocalCache(key)
		}
	}
}

func (j *jetcacheInstance) Get(ctx context.Context, key string) (User, error) {
	var u User
	err := j.cache.Once(ctx, key, jetcache.Value(&u), jetcache.TTL(j.settings.TTL),
		jetcache.Do(func(ctx context.Context) (any, error) { return j.settings.Load(ctx, key) }))
	return u, err
}

func (j *jetcacheInstance) GetMany(ctx context.Context, keys []string) (map[string]User, error) {
	return j.users.MGetWithErr(ctx, jetcacheName, keys, j.settings.LoadMany)
}

// Background returns 0: a caller waits for the fill.
func (j *jetcacheInstance) Background() int { return 0 }

func (j *jetcacheInstance) Delete(ctx context.Context, key string) error {
	return j.cache.Delete(ctx, key)
}

func (j *jetcacheInstance) Close() error {
	j.cache.Close()
	return errors.Join(j.changes.Close(), j.client.Close())
}
