package redis

import (
	"context"
	_ "embed"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Each script is one atomic step on one key. The head comment of a script describes its
// arguments and its reply. Every script begins with begin.lua.
var (
	//go:embed scripts/begin.lua
	begin string
	//go:embed scripts/lease.lua
	leaseSource string
	//go:embed scripts/lease_beside.lua
	leaseBesideSource string
	//go:embed scripts/seize.lua
	seizeSource string
	//go:embed scripts/fill.lua
	fillSource string
	//go:embed scripts/keep.lua
	keepSource string
	//go:embed scripts/renew.lua
	renewSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/touch.lua
	touchSource string
	//go:embed scripts/guard.lua
	guardSource string
	//go:embed scripts/invalidate.lua
	invalidateSource string
	//go:embed scripts/unguard.lua
	unguardSource string
	//go:embed scripts/tag.lua
	tagSource string

	leaseScript       = goredis.NewScript(begin + leaseSource)
	leaseBesideScript = goredis.NewScript(begin + leaseBesideSource)
	seizeScript       = goredis.NewScript(begin + seizeSource)
	fillScript        = goredis.NewScript(begin + fillSource)
	keepScript        = goredis.NewScript(begin + keepSource)
	renewScript       = goredis.NewScript(begin + renewSource)
	releaseScript     = goredis.NewScript(begin + releaseSource)
	touchScript       = goredis.NewScript(begin + touchSource)
	guardScript       = goredis.NewScript(begin + guardSource)
	invalidateScript  = goredis.NewScript(begin + invalidateSource)
	unguardScript     = goredis.NewScript(begin + unguardSource)
	tagScript         = goredis.NewScript(begin + tagSource)
)

// errNoChange stands for the success of a script that changed nothing. Such a success does not
// show that Redis takes writes: a replica carries out such scripts, too.
var errNoChange = errors.New("redis: the script changed nothing")

var errReply = errors.New("redis: a script's reply has another form than it should")

// evalInt runs a script with an integer reply; 0 if the script changed nothing.
func (s *Store) evalInt(ctx context.Context, script *goredis.Script, key string, args ...any) (int64, error) {
	n, err := inTurn(ctx, s.circuitOf(key).writes, func(ctx context.Context) (int64, error) {
		n, err := script.Run(ctx, s.client, []string{key}, args...).Int64()
		if err == nil && n == 0 {
			err = errNoChange
		}
		return n, err
	})
	if err == errNoChange {
		err = nil
	}
	return n, err
}

// evalList runs a script with a list reply. The first element is 1 for yes, and 0 for no.
// After a no, the script has changed nothing.
func (s *Store) evalList(ctx context.Context, script *goredis.Script, key string, args ...any) (yes bool, rest []any, err error) {
	list, err := inTurn(ctx, s.circuitOf(key).writes, func(ctx context.Context) ([]any, error) {
		list, err := script.Run(ctx, s.client, []string{key}, args...).Slice()
		if err == nil && len(list) == 0 {
			err = errReply
		}
		if err == nil && list[0] == int64(0) {
			err = errNoChange
		}
		return list, err
	})
	if err != nil && err != errNoChange {
		return false, nil, err
	}
	return err == nil, list[1:], nil
}

// Touch renews the TTL of a value. It returns the TTL that is left then; 0 if there was
// nothing to renew.
func (s *Store) Touch(ctx context.Context, key string) (time.Duration, error) {
	left, err := s.evalInt(ctx, touchScript, s.redisKey(key))
	return fromMillis(max(left, 0)), err
}
