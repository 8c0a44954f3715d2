package redis

import (
	"errors"
	"strings"
)

// needs are the commands that a Store's user has to be allowed, and its server has to
// have: first those that are sent, then those that scripts call.
const needs = "GET SET PTTL PEXPIRE UNLINK TIME EVAL EVALSHA XADD XREAD XRANGE XREVRANGE XLEN; in scripts GET GETRANGE STRLEN SET DEL UNLINK PTTL PEXPIRE TIME"

// lacks begin the replies that say that something is lacking.
var lacks = []string{replyUnknown, replyNoPermission, replyNoKey, replyScriptDenied, replyScriptUnknown}

// denied tells the Logger that the server refuses what the Store needs: once, for it will
// refuse it each time.
func (s *Store) denied(err error) {
	if err == nil {
		return
	}
	var said reply
	if !errors.As(err, &said) {
		return
	}
	for _, lack := range lacks {
		if strings.HasPrefix(string(said), lack) {
			s.refusal.Do(func() {
				s.opts.Logger.WarnContext(s.background, "redis refuses a command that the Store needs", "error", said, "needs", needs)
			})
			return
		}
	}
}
