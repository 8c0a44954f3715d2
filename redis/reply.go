package redis

import (
	"errors"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// reply is an error reply of Redis in words of this library. Redis quotes the arguments of
// commands in its error replies, and so keys, and an error must not name keys. A reply has
// the code of the original, or ERR if codes does not have that code, and then fixed words in
// place of the original's text.
type reply string

func (r reply) Error() string { return string(r) }

// RedisError makes reply a goredis.Error.
func (reply) RedisError() {}

// The replies which mean that the user or the server lacks something that the Store needs.
const (
	replyUnknown       = "ERR unknown command"
	replyNoPermission  = "NOPERM no permission to run the command"
	replyNoKey         = "NOPERM no permission to access the key"
	replyScriptDenied  = "ERR the user may not run a command that a script calls"
	replyScriptUnknown = "ERR a script calls a command that is not known"
)

// The replies which mean that the connection's database cannot be had.
const (
	replyNoDatabase  = "ERR the database does not exist"
	replyOneDatabase = "ERR a Cluster has one database"
)

// idTooSmall begins the reply to an XADD whose position is not behind the end of the log.
const idTooSmall = "The ID specified in XADD is equal or smaller"

// codes has the words that follow a code. A code that is not in codes becomes ERR.
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

// phrases are the beginnings of replies with the code ERR, each with the words that replace
// the reply.
var phrases = []struct{ begins, words string }{
	{"max number of clients", "ERR max number of clients reached"},
	{idTooSmall, "ERR " + idTooSmall},
	{"The user executing the script", replyScriptDenied},             // Redis 7.0
	{"ACL failure in script", replyScriptDenied},                     // Redis 7.2 and later, Valkey
	{"Unknown Redis command called from script", replyScriptUnknown}, // Redis
	{"Unknown command called from script", replyScriptUnknown},       // Valkey
	{"Error running script", "ERR a script failed"},
	{"wrong number of arguments", "ERR wrong number of arguments"},
	{"syntax error", "ERR syntax error"},
	{"value is not an integer", "ERR value is not an integer"},
	{"DB index is out of range", replyNoDatabase},
	{"SELECT is not allowed", replyOneDatabase},
	{"This instance has cluster support disabled", "ERR the server is no part of a Cluster"},
	{"invalid password", "ERR invalid password"},
	{"Protocol error", "ERR protocol error"},
}

// sent are the commands that a Store or a script sends, or go-redis for a connection.
var sent = map[string]bool{
	"GET": true, "PTTL": true, "UNLINK": true, "EVAL": true, "EVALSHA": true,
	"XADD": true, "XREAD": true, "XRANGE": true, "XREVRANGE": true, "XLEN": true,
	"SET": true, "DEL": true, "PEXPIRE": true, "TIME": true, "GETRANGE": true, "SETRANGE": true, "STRLEN": true,
	"HELLO": true, "AUTH": true, "SELECT": true, "CLIENT": true, "CLUSTER": true, "READONLY": true, "ASKING": true, "COMMAND": true,
}

// unquote returns err in a form that may be returned, logged and traced. It replaces a reply
// of a server by known words, and cuts off the part of a reply that go-redis quotes because
// the reply does not parse. The result is a goredis.Error if err is one, and errors.Is has
// the same results.
func unquote(err error) error {
	if err == nil {
		return nil
	}
	var said goredis.Error
	var already reply
	switch {
	case err == errNoChange, errors.Is(err, goredis.Nil):
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

// unquoted is an error without the text that it quotes.
type unquoted struct {
	text string
	err  error
}

func (u *unquoted) Error() string { return u.text }

// Is reports whether the original error is target.
func (u *unquoted) Is(target error) bool { return errors.Is(u.err, target) }

// replyOf expresses the text of an error reply in known words.
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

// commandIn returns a space and the command that a reply quotes first; "" if the command is
// not in sent.
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
