package redis

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// need is a command that the server must have and the Store's user must be allowed to call.
type need struct {
	name string
	args string // of a call that is only checked, never made; KEY stands for a key of the Store
}

// needs are the commands that the Store sends or that its scripts call. With EVAL the access
// to the keys is checked: EVAL may be called if refused.lua runs.
var needs = []need{
	{"EVAL", "s 3 KEY:probe KEY:log KEY:log:mark:{KEY:log}"},
	{"EVALSHA", "s 1 KEY:probe"},
	{"GET", "KEY:probe"},
	{"SET", "KEY:probe v"},
	{"PTTL", "KEY:probe"},
	{"PEXPIRE", "KEY:probe 1"},
	{"UNLINK", "KEY:probe"},
	{"DEL", "KEY:probe"},
	{"GETRANGE", "KEY:probe 0 0"},
	{"SETRANGE", "KEY:probe 0 v"},
	{"STRLEN", "KEY:probe"},
	{"TIME", ""},
	{"XADD", "KEY:log * e v"},
	{"XREAD", "BLOCK 1 STREAMS KEY:log 0"},
	{"XRANGE", "KEY:log - +"},
	{"XREVRANGE", "KEY:log + -"},
	{"XLEN", "KEY:log"},
}

// clusterNeeds are the commands that go-redis sends to a Cluster besides.
var clusterNeeds = []need{{"CLUSTER SLOTS", ""}, {"COMMAND", ""}, {"ASKING", ""}}

// keyAccess is the index of the need that shows the access to the keys.
const keyAccess = 0

//go:embed scripts/refused.lua
var refusedSource string

// needs returns the commands that the Store needs.
func (s *Store) needs() []need {
	if s.single {
		return needs
	}
	return slices.Concat(needs, clusterNeeds)
}

// askCommands asks which of the commands that the Store needs the server refuses. It sends
// EVAL only. The script calls no command, and has no key, so that any node of a Cluster runs
// it.
func (s *Store) askCommands(ctx context.Context, pipe goredis.Pipeliner) *goredis.Cmd {
	all := s.needs()
	calls := make([]any, len(all))
	for i, n := range all {
		calls[i] = n.name + " " + strings.ReplaceAll(n.args, "KEY", s.opts.Prefix)
	}
	return pipe.Eval(ctx, refusedSource, nil, calls...)
}

// checkCommands returns the finding of askCommands. If the server cannot tell, the finding is
// that of the last command that the server refused. The error is that of a reply which is
// not of Redis.
func (s *Store) checkCommands(asked *goredis.Cmd) (Finding, error) {
	indexes, err := asked.Int64Slice()
	if isOutage(err) {
		return Finding{}, err
	}
	if err != nil {
		if f := refusal(unquote(err)); f != (Finding{}) {
			return f, nil
		}
		return s.findings.refusal(), nil
	}
	all := s.needs()
	if slices.Contains(indexes, keyAccess+1) {
		return findingKeys, nil
	}
	var names []string
	for _, i := range indexes {
		if 0 < i && i <= int64(len(all)) {
			names = append(names, all[i-1].name)
		}
	}
	if len(names) == 0 {
		return Finding{}, nil
	}
	return Finding{FindingCommands, "the user may not call, or the server does not have, " + strings.Join(names, " ")}, nil
}

var findingKeys = Finding{FindingKeys, "the user may not read and write every key that begins with the prefix of the Store and a colon"}

// lacks are the beginnings of the replies which mean that a needed command is lacking.
var lacks = []string{replyUnknown, replyNoPermission, replyNoKey, replyScriptDenied, replyScriptUnknown}

// refuses reports whether a needed command is lacking.
func (r reply) refuses() bool {
	return slices.ContainsFunc(lacks, func(lack string) bool { return strings.HasPrefix(string(r), lack) })
}

// Is reports whether target is remote.ErrRefused and a needed command is lacking.
func (r reply) Is(target error) bool { return target == remote.ErrRefused && r.refuses() }

// refusal returns the finding of a reply which means that a needed command is lacking; no
// finding if err is another error, or an outage, which has a line of its own.
func refusal(err error) Finding {
	if err == nil {
		return Finding{}
	}
	said, is := errors.AsType[reply](err)
	switch {
	case !is || !said.refuses() || isOutage(said):
		return Finding{}
	case said == replyNoKey:
		return findingKeys
	}
	return Finding{FindingCommands, "the server refuses a command that the Store needs: " + said.Error()}
}

// noteRefusal logs that the server refuses a command that the Store needs.
func (s *Store) noteRefusal(err error) {
	if f := refusal(err); f != (Finding{}) {
		s.findings.noteRefusal(f)
		s.report(f)
	}
}
