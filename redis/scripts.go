package redis

import (
	"context"
	_ "embed"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Each script is one atomic step on one key; its head tells its arguments and
// its reply. All begin with begin.lua.
var (
	//go:embed scripts/begin.lua
	begin string
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
	//go:embed scripts/bury.lua
	burySource string
	//go:embed scripts/lift.lua
	liftSource string
	//go:embed scripts/unban.lua
	unbanSource string
	//go:embed scripts/tag.lua
	tagSource string

	leaseScript   = goredis.NewScript(begin + leaseSource)
	seizeScript   = goredis.NewScript(begin + seizeSource)
	fillScript    = goredis.NewScript(begin + fillSource)
	renewScript   = goredis.NewScript(begin + renewSource)
	releaseScript = goredis.NewScript(begin + releaseSource)
	touchScript   = goredis.NewScript(begin + touchSource)
	buryScript    = goredis.NewScript(begin + burySource)
	liftScript    = goredis.NewScript(begin + liftSource)
	unbanScript   = goredis.NewScript(begin + unbanSource)
	tagScript     = goredis.NewScript(begin + tagSource)
)

// errIdle stands for the success of a script that changed nothing. That says
// nothing of whether Redis takes writes: a replica carries such scripts out too.
var errIdle = errors.New("redis: the script changed nothing")

var errReply = errors.New("redis: a script's reply has another form than it should")

// evalInt runs a script that replies with an integer, 0 if it changed nothing.
func (s *Store) evalInt(ctx context.Context, script *goredis.Script, key string, args ...any) (int64, error) {
	n, err := send(ctx, s.writes, func(ctx context.Context) (int64, error) {
		n, err := script.Run(ctx, s.client, []string{key}, args...).Int64()
		if err == nil && n == 0 {
			err = errIdle
		}
		return n, err
	})
	if err == errIdle {
		err = nil
	}
	return n, err
}

// evalList runs a script that replies with a list, whose first element is 1 for
// yes and 0 for no, in which case it changed nothing.
func (s *Store) evalList(ctx context.Context, script *goredis.Script, key string, args ...any) (yes bool, rest []any, err error) {
	list, err := send(ctx, s.writes, func(ctx context.Context) ([]any, error) {
		list, err := script.Run(ctx, s.client, []string{key}, args...).Slice()
		if err == nil && len(list) == 0 {
			err = errReply
		}
		if err == nil && list[0] == int64(0) {
			err = errIdle
		}
		return list, err
	})
	if err != nil && err != errIdle {
		return false, nil, err
	}
	return err == nil, list[1:], nil
}

// Touch starts the TTL of a value anew.
func (s *Store) Touch(ctx context.Context, key string) (time.Duration, error) {
	left, err := s.evalInt(ctx, touchScript, s.redisKey(key))
	return fromMillis(max(left, 0)), err
}
