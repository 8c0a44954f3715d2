package consistency

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/history"
)

// Source is the system of record: a version for each key.
type Source struct{ client *goredis.Client }

// OpenSource returns the source at addr.
func OpenSource(addr string) *Source {
	return &Source{goredis.NewClient(&goredis.Options{Addr: addr})}
}

// Close closes the connection.
func (s *Source) Close() error { return s.client.Close() }

// Version returns key's version.
func (s *Source) Version(ctx context.Context, key string) (int64, error) {
	v, err := s.client.Get(ctx, key).Int64()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	return v, err
}

// commit gives key its next version, and records the commit.
func (s *Source) commit(ctx context.Context, d *diary, key string) (int64, error) {
	start := history.Now()
	v, err := s.client.Incr(ctx, key).Result()
	if err == nil {
		d.Commits = append(d.Commits, history.Commit{Key: key, Version: v, Start: start, End: history.Now()})
	}
	return v, err
}

// Missing returns the commits that h lacks: those of processes that died before they had
// written them to the file. Each commit gets start and end as its times.
func (s *Source) Missing(ctx context.Context, h history.History, keys []string, start, end int64) (commits []history.Commit, err error) {
	type version struct {
		key string
		v   int64
	}
	known := make(map[version]bool)
	for _, c := range h.Commits {
		known[version{c.Key, c.Version}] = true
	}
	for _, key := range keys {
		last, err := s.Version(ctx, key)
		if err != nil {
			return nil, err
		}
		for v := int64(1); v <= last; v++ {
			if !known[version{key, v}] {
				commits = append(commits, history.Commit{Key: key, Version: v, Start: start, End: end})
			}
		}
	}
	return commits, nil
}
