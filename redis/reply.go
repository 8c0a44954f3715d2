package redis

import (
	"errors"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// reply is an error that Redis replied with, without anything that it quotes: Redis
// quotes commands with their arguments, and so the keys. It begins with a code, like the
// reply itself, and goes on in fixed words.
type reply string

func (r reply) Error() string { return string(r) }

// RedisError makes a reply a goredis.Error.
func (reply) RedisError() {}

// The replies that say that the user or the server lacks what the Store needs.
const (
	replyUnknown       = "ERR unknown command"
	replyNoPermission  = "NOPERM no permission to run the command"
	replyNoKey         = "NOPERM no permission to access the key"
	replyScriptDenied  = "ERR the user may not run a command that a script calls"
	replyScriptUnknown = "ERR a script calls a command that is not known"
)

// idTooSmall begins the reply to an XADD whose position is not behind the log's end.
const idTooSmall = "The ID specified in XADD is equal or smaller"

// codes have the words that follow a code. A code that is not here is told as ERR.
var codes = map[string]string{
	"ASK":         "the slot is being moved",
	"BUSY":        "a script is running",
	"BUSYKEY":     "the key exists",
	"CLUSTERDOWN": "the cluster does not serve",
	"CROSSSLOT":   "the keys are not in one slot",
	"DENIED":      "the connection is not allowed",
	"ERR":         "an error reply",
	"EXECABORT":   "the transaction is discarded",
	"LOADING":     "the server is loading its dataset",
	"MASTERDOWN":  "the link to the primary is down",
	"MISCONF":     "the server cannot save its dataset",
	"MOVED":       "the slot is on another node",
	"NOAUTH":      "authentication is required",
	"NOPERM":      "no permission",
	"NOPROTO":     "the protocol is not known",
	"NOREPLICAS":  "there are not enough good replicas to write",
	"NOSCRIPT":    "the script is not known",
	"OOM":         "the server is out of memory",
	"READONLY":    "the server takes no writes",
	"TRYAGAIN":    "the slot is being moved",
	"UNBLOCKED":   "the client was unblocked",
	"WRONGPASS":   "the user name or the password is wrong",
	"WRONGTYPE":   "the key holds another kind of value",
}

// phrases begin replies with the code ERR. They are told by other words, or by their own.
var phrases = []struct{ begins, words string }{
	{"max number of clients", "ERR max number of clients reached"},
	{idTooSmall, "ERR " + idTooSmall},
	{"The user executing the script", replyScriptDenied},
	{"Unknown Redis command called from script", replyScriptUnknown},
	{"Error running script", "ERR a script failed"},
	{"wrong number of arguments", "ERR wrong number of arguments"},
	{"syntax error", "ERR syntax error"},
	{"value is not an integer", "ERR value is not an integer"},
	{"DB index is out of range", "ERR the database does not exist"},
	{"SELECT is not allowed", "ERR a Cluster has one database"},
	{"This instance has cluster support disabled", "ERR the server is no part of a Cluster"},
	{"invalid password", "ERR invalid password"},
	{"Protocol error", "ERR protocol error"},
}

// sent are the commands that a Store sends, or a script, or go-redis for a connection.
var sent = map[string]bool{
	"GET": true, "PTTL": true, "UNLINK": true, "EVAL": true, "EVALSHA": true,
	"XADD": true, "XREAD": true, "XRANGE": true, "XREVRANGE": true, "XLEN": true,
	"SET": true, "DEL": true, "PEXPIRE": true, "TIME": true, "GETRANGE": true, "STRLEN": true,
	"HELLO": true, "AUTH": true, "SELECT": true, "CLIENT": true, "CLUSTER": true, "READONLY": true, "ASKING": true, "COMMAND": true,
}

// told returns err as it may be returned, logged and traced: what a server replied is
// told by known words alone, and what go-redis quotes of a reply that it cannot parse is
// cut off. Whether err is a goredis.Error, and what errors.Is says of it, stays the same.
func told(err error) error {
	if err == nil {
		return nil
	}
	var said goredis.Error
	var already reply
	switch {
	case err == errIdle, errors.Is(err, goredis.Nil):
		return err
	case errors.As(err, &already):
		return already
	case errors.As(err, &said):
		return replyOf(said.Error())
	}
	var ofNet *net.OpError
	text, _, quotes := strings.Cut(err.Error(), `"`)
	if !quotes || errors.As(err, &ofNet) {
		return err
	}
	return &unquoted{strings.TrimRight(text, " :="), err}
}

// unquoted is an error without what it quotes.
type unquoted struct {
	text string
	err  error
}

func (u *unquoted) Error() string { return u.text }

// Is reports whether the error itself is target.
func (u *unquoted) Is(target error) bool { return errors.Is(u.err, target) }

// replyOf tells the text of an error reply by known words.
func replyOf(text string) reply {
	code, rest, _ := strings.Cut(text, " ")
	words, known := codes[code]
	switch {
	case !known:
		return reply("ERR " + codes["ERR"])
	case code == "NOPERM" && strings.Contains(rest, "permissions to run"):
		return reply(replyNoPermission + commandIn(rest))
	case code == "NOPERM" && strings.Contains(rest, "key"):
		return replyNoKey
	case code != "ERR":
		return reply(code + " " + words)
	case strings.HasPrefix(rest, "unknown command"):
		return reply(replyUnknown + commandIn(rest))
	}
	for _, p := range phrases {
		if strings.HasPrefix(rest, p.begins) {
			return reply(p.words)
		}
	}
	return reply("ERR " + words)
}

// commandIn returns a space and the name of the command that a reply quotes first, if it
// is one of those that are sent.
func commandIn(text string) string {
	start := strings.IndexAny(text, "'`")
	if start < 0 {
		return ""
	}
	name := text[start+1:]
	if end := strings.IndexAny(name, "'`|"); end >= 0 {
		name = strings.ToUpper(name[:end])
	}
	if !sent[name] {
		return ""
	}
	return " " + name
}
