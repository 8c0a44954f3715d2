package redis

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Each script is one atomic step on one key; its head tells its arguments and
// its reply.
var (
	//go:embed scripts/lease.lua
	leaseSource string
	//go:embed scripts/seize.lua
	seizeSource string
	//go:embed scripts/fill.lua
	fillSource string
	//go:embed scripts/renew.lua
	renewSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/touch.lua
	touchSource string

	leaseScript   = goredis.NewScript(leaseSource)
	seizeScript   = goredis.NewScript(seizeSource)
	fillScript    = goredis.NewScript(fillSource)
	renewScript   = goredis.NewScript(renewSource)
	releaseScript = goredis.NewScript(releaseSource)
	touchScript   = goredis.NewScript(touchSource)
)

// evalInt runs a script that replies with an integer.
func (s *Store) evalInt(ctx context.Context, script *goredis.Script, key string, args ...any) (int64, error) {
	return send(ctx, s, func(ctx context.Context) (int64, error) {
		return script.Run(ctx, s.client, []string{key}, args...).Int64()
	})
}

// evalList runs a script that replies with a list, whose first element is 1 for
// yes and 0 for no.
func (s *Store) evalList(ctx context.Context, script *goredis.Script, key string, args ...any) (yes bool, rest []any, err error) {
	list, err := send(ctx, s, func(ctx context.Context) ([]any, error) {
		return script.Run(ctx, s.client, []string{key}, args...).Slice()
	})
	if err != nil {
		return false, nil, err
	}
	if len(list) == 0 {
		return false, nil, errReply
	}
	return list[0] == int64(1), list[1:], nil
}

var errReply = fmt.Errorf("redis: a script's reply has another form than it should")

// Touch starts the TTL of a value anew.
func (s *Store) Touch(ctx context.Context, key string) (time.Duration, error) {
	left, err := s.evalInt(ctx, touchScript, s.redisKey(key))
	return time.Duration(max(left, 0)) * time.Millisecond, err
}
