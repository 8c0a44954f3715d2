package redis_test

import (
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/redis"
)

func TestOpenRefusesABadURLAndDoesNotQuoteIt(t *testing.T) {
	const password = "hunter2"
	for name, url := range map[string]string{
		"empty":               "",
		"no scheme":           "//user:hunter2@localhost:6379/0",
		"host alone":          "localhost:6379",
		"wrong scheme":        "http://user:hunter2@localhost:6379/0",
		"bad port":            "redis://user:hunter2@localhost:six/0",
		"bad database":        "redis://user:hunter2@localhost:6379/first",
		"bad database query":  "redis://user:hunter2@localhost:6379?db=first",
		"long path":           "redis://user:hunter2@localhost:6379/0/1",
		"unknown query":       "redis://user:hunter2@localhost:6379/0?nonsense=1",
		"bad number":          "redis://user:hunter2@localhost:6379/0?pool_size=many",
		"bad duration":        "redis://user:hunter2@localhost:6379/0?read_timeout=soon",
		"bad escape":          "redis://user:hunter2%zz@localhost:6379/0",
		"control character":   "redis://user:hunter2\n@localhost:6379/0",
		"slash in password":   "redis://user:in/hunter2@localhost:6379/0",
		"slash behind digits": "redis://user:1/hunter2@localhost:6379/0",
		"query behind digits": "redis://user:1?hunter2@localhost:6379/0",
		"no socket":           "unix://user:hunter2@",
		"bad Sentinel":        "redis://user:hunter2@localhost:26379?master_name=m&addr=hunter2",
		"no name of Sentinel": "redis://user:hunter2@localhost:26379?master_name=&addr=localhost:26380",
		"replicas":            "redis://user:hunter2@localhost:26379?master_name=m&replica_only=true",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			s, err := redis.Open(url, redis.Options{})
			if err == nil {
				_ = s.Close()
				t.Fatal("Open: no error")
			}
			within(t, start, hiccup, "Open")
			said := err.Error()
			if !strings.HasPrefix(said, "redis: ") {
				t.Errorf("Open: %q does not say who speaks", said)
			}
			if strings.Contains(said, password) || (url != "" && strings.Contains(said, url)) {
				t.Errorf("Open: %q tells a secret", said)
			}
		})
	}
}

// What is wrong with a URL is said, with a secret in every part of it.
func TestOpenSaysWhichPartOfAURLIsWrong(t *testing.T) {
	for url, want := range map[string]string{
		"": "the URL is empty",
		"redis://hunter2:hunter2%zz@hunter2:6379/0":                             "does not parse",
		"redis://hunter2:in/hunter2@hunter2:6379/0":                             "does not parse",
		"hunter2://hunter2:hunter2@hunter2:6379/0?hunter2=hunter2":              "the scheme",
		"unix://hunter2:hunter2@?db=1":                                          "no path to a socket",
		"redis://hunter2:hunter2@hunter2:6379/hunter2":                          "not the number of a database",
		"redis://hunter2:hunter2@hunter2:6379/1/hunter2":                        "more than the number of a database",
		"redis://hunter2:hunter2@hunter2?db=hunter2":                            "query parameter db: not a number",
		"redis://hunter2:hunter2@hunter2/0?pool_size=hunter2":                   "query parameter pool_size: not a number",
		"redis://hunter2:hunter2@hunter2/0?dial_timeout=hunter2":                "query parameter dial_timeout: not a duration",
		"redis://hunter2:hunter2@hunter2/0?pool_fifo=hunter2":                   "query parameter pool_fifo: not true, false, 1 or 0",
		"redis://hunter2:hunter2@hunter2/0?skip_verify=hunter2":                 "query parameter skip_verify: only for rediss",
		"rediss://hunter2:hunter2@hunter2/0?skip_verify=hunter2":                "query parameter skip_verify: not true, false, 1 or 0",
		"redis://hunter2:hunter2@hunter2/0?hunter2":                             "query parameter 1 is not known",
		"redis://hunter2:hunter2@hunter2/0?db=1&password=hunter2":               "query parameter 2 is not known",
		"redis://hunter2:hunter2@hunter2/0?client_name=hunter2&dail_timeout=1s": "query parameter 2 is not known; is dial_timeout meant?",
		"redis://hunter2:hunter2@hunter2/0?DialTimeout=hunter2":                 "query parameter 1 is not known; is dial_timeout meant?",
		"unix://hunter2:hunter2@/hunter2?read-timeout=1s":                       "query parameter 1 is not known; is read_timeout meant?",
		"redis://h/?idle_timeout=1s&conn_max_idle_time=hunter2":                 "query parameter conn_max_idle_time: not a duration",
		"redis://h/?idle_timeout=1s&conn_max_idle_time=1s":                      "not a URL that goredis.ParseURL takes",
		"redis://hunter2:hunter2@h?master_name=hunter2":                         "the address of the Sentinel has no port",
		"redis://hunter2:hunter2@h:1?master_name=":                              "query parameter master_name is empty",
		"redis://hunter2:hunter2@h?master_name=hunter2&addr=hunter2":            "query parameter addr: not host:port",
		"redis://hunter2:hunter2@h?master_name=hunter2&adr=h:1":                 "query parameter 2 is not known; is addr meant?",
		"redis://hunter2:hunter2@h?master_name=hunter2&idle_timeout=1s":         "query parameter 2 is not known",
		"redis://hunter2:hunter2@h/hunter2?master_name=hunter2":                 "not the number of a database",
		"redis://hunter2:hunter2@h:1?master_name=hunter2&replica_only=true":     "reads from replicas",
		"redis://hunter2:hunter2@h:1?master_name=hunter2&route_randomly=true":   "reads from replicas",
		"redis://hunter2:hunter2@h:1?master_name=hunter2&route_by_latency=true": "reads from replicas",
		"unix://hunter2:hunter2@/hunter2?master_name=hunter2":                   "query parameter master_name: only for redis and rediss",
		"redis://hunter2:hunter2@h?dial_timeout=1s&addr=h:1":                    "query parameter 2 is not known",
	} {
		s, err := redis.Open(url, redis.Options{})
		if err == nil {
			_ = s.Close()
			t.Errorf("Open(%q): no error", url)
			continue
		}
		said := err.Error()
		if !strings.HasPrefix(said, "redis: open: ") || !strings.Contains(said, want) {
			t.Errorf("Open(%q): %q, want %q", url, said, want)
		}
		if strings.Contains(said, "hunter2") {
			t.Errorf("Open(%q): %q tells a secret", url, said)
		}
	}
}

// A client that is nil in an interface that is not is refused at once.
func TestNewRefusesATypedNil(t *testing.T) {
	for _, client := range []goredis.UniversalClient{nil, (*goredis.Client)(nil), (*goredis.ClusterClient)(nil)} {
		if _, err := redis.New(client, redis.Options{}); err == nil || err.Error() != "redis: there is no client" {
			t.Errorf("New of a nil %T: %v", client, err)
		}
	}
}

func TestEveryProblemOfTheOptionsIsNamed(t *testing.T) {
	problems := []string{
		"Prefix has a character", "Timeout is negative", "LeaseTTL is negative", "ProbeInterval is negative", "MaxFailures is negative", "FailureRatio is not between",
	}
	bad := redis.Options{Prefix: "a:b", Timeout: -1, LeaseTTL: -1, ProbeInterval: -1, MaxFailures: -1, FailureRatio: 1.1}
	_, ofURL := redis.Open("http://localhost", bad)
	_, opened := redis.Open("redis://localhost", bad)
	_, made := redis.New(nil, bad)
	wantProblems(t, "Open of a bad URL", ofURL, append(problems, "open: ")...)
	wantProblems(t, "Open", opened, problems...)
	wantProblems(t, "New of no client", made, append(problems, "there is no client")...)

	_, short := redis.Open("redis://localhost", redis.Options{LeaseTTL: 3*time.Millisecond - 1})
	wantProblems(t, "Open", short, "LeaseTTL is less than 3 ms")
	_, accent := redis.Open("redis://localhost", redis.Options{Prefix: "é"})
	wantProblems(t, "Open", accent, "Prefix has a character")
}

// wantProblems wants err to have a line for each problem and no other line.
func wantProblems(t *testing.T, what string, err error, problems ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(problems) {
		t.Errorf("%s: %d lines, want %d:\n%v", what, len(lines), len(problems), err)
	}
	for _, problem := range problems {
		found := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "redis: "+problem) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: %q is said %d times in\n%v", what, problem, found, err)
		}
	}
}
