package redis

import (
	"errors"
	"slices"
	"strings"

	"github.com/nearside-go/nearside/cache/remote"
)

// needs are the commands that the server must have and the Store's user must be allowed to
// call: first the commands that are sent, then the commands that scripts call.
const needs = "GET SET PTTL PEXPIRE UNLINK TIME EVAL EVALSHA XADD XREAD XRANGE XREVRANGE XLEN; in scripts GET GETRANGE SETRANGE STRLEN SET DEL UNLINK PTTL PEXPIRE TIME"

// lacks are the beginnings of the replies which mean that a needed command is lacking.
var lacks = []string{replyUnknown, replyNoPermission, replyNoKey, replyScriptDenied, replyScriptUnknown}

// noteRefusal logs that the server refuses a command that the Store needs. It does so once,
// because the server refuses the command each time.
func (s *Store) noteRefusal(err error) {
	if err == nil {
		return
	}
	var said reply
	if !errors.As(err, &said) || !said.refuses() {
		return
	}
	s.refusal.Do(func() {
		s.opts.Logger.WarnContext(s.background, "redis refuses a command that the Store needs", "error", said, "needs", needs)
	})
}

// refuses reports whether a needed command is lacking.
func (r reply) refuses() bool {
	return slices.ContainsFunc(lacks, func(lack string) bool { return strings.HasPrefix(string(r), lack) })
}

// Is reports whether target is remote.ErrRefused and a needed command is lacking.
func (r reply) Is(target error) bool { return target == remote.ErrRefused && r.refuses() }
