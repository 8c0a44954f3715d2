package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// parseURL is goredis.ParseURL with errors that quote nothing of the URL: in a URL that
// does not parse, the password may be in any part.
func parseURL(rawURL string) (*goredis.Options, error) {
	o, err := goredis.ParseURL(rawURL)
	if err != nil {
		return nil, errors.New("redis: open: " + urlProblem(rawURL))
	}
	return o, nil
}

// urlProblem describes the part of a URL that goredis.ParseURL does not accept, or
// goredis.ParseFailoverURL.
func urlProblem(rawURL string) string {
	if rawURL == "" {
		return "the URL is empty"
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return "the URL does not parse; in a user name and a password / ? # @ : and % are written as %2F %3F %23 %40 %3A and %25"
	}
	sentinels := u.Query().Has("master_name")
	switch path := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' }); {
	case u.Scheme == "unix" && sentinels:
		return "query parameter master_name: only for redis and rediss"
	case u.Scheme == "unix" && strings.TrimSpace(u.Path) == "":
		return "the URL has no path to a socket"
	case u.Scheme == "unix":
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return "the scheme of the URL is not redis, rediss or unix"
	case len(path) > 1:
		return "the path of the URL is more than the number of a database"
	case len(path) == 1 && !isNumber(path[0]):
		return "the path of the URL is not the number of a database"
	}
	known := parameters
	if sentinels {
		known = failoverParameters
	}
	if problem := queryProblem(u, known); problem != "" {
		return problem
	}
	if sentinels {
		return "not a URL that goredis.ParseFailoverURL takes"
	}
	return "not a URL that goredis.ParseURL takes"
}

func queryProblem(u *url.URL, parameters map[string]kind) string {
	for i, pair := range strings.Split(u.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, nameErr := url.QueryUnescape(name)
		value, valueErr := url.QueryUnescape(value)
		if pair == "" || nameErr != nil || valueErr != nil || strings.Contains(pair, ";") {
			continue // ParseURL skips the parameter, too
		}
		kind, known := parameters[name]
		switch {
		case !known:
			return fmt.Sprintf("query parameter %d is not known%s", i+1, meant(name, parameters))
		case name == "skip_verify" && u.Scheme != "rediss":
			return "query parameter skip_verify: only for rediss"
		case !kind.takes(value):
			return "query parameter " + name + ": not " + kind.name
		}
	}
	return ""
}

// kind is the form that the value of a query parameter must have.
type kind struct {
	name  string
	takes func(string) bool
}

var (
	number   = kind{"a number", func(s string) bool { return s == "" || isNumber(s) }}
	duration = kind{"a duration", func(s string) bool { return s == "" || isNumber(s) || isDuration(s) }}
	boolean  = kind{"true, false, 1 or 0", func(s string) bool { return strings.Contains(" true false 1 0  ", " "+s+" ") }}
	text     = kind{"text", func(string) bool { return true }}
	address  = kind{"host:port", isAddress}
)

// parameters are the query parameters of goredis.ParseURL.
var parameters = map[string]kind{
	"db": number, "protocol": number, "max_retries": number, "pool_size": number, "min_idle_conns": number,
	"max_idle_conns": number, "max_active_conns": number, "max_concurrent_dials": number, "pipeline_pool_size": number,
	"pipeline_read_buffer_size": number, "pipeline_write_buffer_size": number,
	"min_retry_backoff": duration, "max_retry_backoff": duration, "dial_timeout": duration, "read_timeout": duration,
	"write_timeout": duration, "pool_timeout": duration, "conn_max_idle_time": duration, "idle_timeout": duration,
	"conn_max_lifetime": duration, "max_conn_age": duration, "conn_max_lifetime_jitter": duration,
	"pool_fifo": boolean, "skip_verify": boolean, "client_name": text,
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != ""
}

func isDuration(s string) bool {
	_, err := time.ParseDuration(s)
	return err == nil
}

// meant returns a question after the one of parameters that is spelled almost like name; "" if
// there is none.
func meant(name string, parameters map[string]kind) string {
	const typos = 2
	best, least := "", typos+1
	for known := range parameters {
		if d := distance(plain(name), plain(known)); d < least || d == least && known < best {
			best, least = known, d
		}
	}
	if best == "" || least > typos || least >= len(plain(best)) {
		return ""
	}
	return "; is " + best + " meant?"
}

// plain returns the same for dial-timeout and DialTimeout as for dial_timeout.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// distance returns how many bytes must be added, removed or replaced to turn a into b (V.
// I. Levenshtein, Binary codes capable of correcting deletions, insertions, and reversals,
// 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
