package redis

import (
	"errors"
	"strings"
)

// needs are the commands that the server must have and the Store's user must be allowed to
// call: first the commands that are sent, then the commands that scripts call.
const needs = "GET SET PTTL PEXPIRE UNLINK TIME EVAL EVALSHA XADD XREAD XRANGE XREVRANGE XLEN; in scripts GET GETRANGE STRLEN SET DEL UNLINK PTTL PEXPIRE TIME"

// lacks are the beginnings of the replies which mean that a needed command is lacking.
var lacks = []string{replyUnknown, replyNoPermission, replyNoKey, replyScriptDenied, replyScriptUnknown}

// noteRefusal logs that the server refuses a command that the Store needs. It does so once,
// because the server refuses the command each time.
func (s *Store) noteRefusal(err error) {
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
