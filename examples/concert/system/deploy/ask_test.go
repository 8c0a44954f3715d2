package deploy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client waits for no answer for longer than the tests wait.
var client = &http.Client{Timeout: within}

// ask sends a request, and returns the answer.
func ask(method, url, body string) (status int, text string, err error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all), err
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	status, text, err := ask(http.MethodGet, url, "")
	if err != nil {
		t.Fatal(err)
	}
	return status, text
}

// within is how long the tests wait for what is to come.
const within = 30 * time.Second

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not so after %v: %s", within, what)
		}
	}
}
