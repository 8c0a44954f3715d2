package main

import (
	"crypto/tls"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// rows are the lines of the table, in order. What varies is left open.
var rows = []string{
	`^step +answered by +took +loads$`,
	`^A reads a product +source +\S+s +1$`,
	`^A reads it again +local +\S+s +0$`,
	`^B reads it +redis +\S+s +0$`,
	`^200 readers on A and B want one, at once +\d+ \w+(, \d+ \w+)* +\S+s +1  its query takes 20ms$`,
	`^A writes a new price, invalidates, reads +source +\S+s +1$`,
	`^B reads until it sees the new price +redis +\S+s +0  A's invalidation has told it$`,
	`^A reads 300 other products +300 source +\S+s +300$`,
	`^B reads these 300; halfway, Redis stops +150 source, 150 redis +\S+s +150  0 failed, slowest \S+s$`,
	`^Redis is back, and B finds out by itself +\S+s +0$`,
	`^A reads one more product, then B does +1 source, 1 redis +\S+s +1$`,
	`^C, a new instance, reads the first one +redis +\S+s +0$`,
	`^All 11 steps went as they should, in \S+s\.$`,
}

func TestTheWalkWithTheEmbeddedRedis(t *testing.T) {
	out := walk(t)
	if !strings.Contains(out, "Redis:    embedded") {
		t.Errorf("no word of the embedded Redis in:\n%s", out)
	}
	checkRows(t, out)
}

func TestTheWalkWithARedisOfTheUsers(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("walker", "secret")
	m.DB(3).Set("own", "kept")
	out := walk(t, "-redis", "redis://walker:secret@"+m.Addr()+"/3")
	checkRows(t, out)
	if strings.Contains(out, "secret") {
		t.Errorf("the password is in:\n%s", out)
	}
	if keys := m.DB(3).Keys(); !slices.Equal(keys, []string{"own"}) {
		t.Errorf("Redis has the keys %q, want only the user's own", keys)
	}
}

func TestTheWalkWithARedisBehindTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	m, err := miniredis.RunTLS(&tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	checkRows(t, walk(t, "-redis", "rediss://"+m.Addr()+"?skip_verify=true"))
}

// walk runs the program, and checks that it leaves no file.
func walk(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	if err := run(&out, args); err != nil {
		t.Fatalf("%v, after:\n%s", err, out.String())
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "nearside-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, error %v", left, err)
	}
	return out.String()
}

func checkRows(t *testing.T, out string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	for _, row := range rows {
		pattern, found := regexp.MustCompile(row), false
		for !found && len(lines) > 0 {
			found, lines = pattern.MatchString(lines[0]), lines[1:]
		}
		if !found {
			t.Fatalf("no line, in its place, that matches %s in:\n%s", row, out)
		}
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if err := run(&out, []string{"-h"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "-redis URL") {
		t.Errorf("the usage does not mention -redis URL:\n%s", out.String())
	}
}

func TestWhatCannotStart(t *testing.T) {
	m := miniredis.RunT(t)
	gone := m.Addr()
	m.Close()
	for name, c := range map[string]struct{ url, want string }{
		"no Redis":      {"redis://" + gone, "no Redis answers at " + gone},
		"no URL at all": {"://user:secret@host", "-redis: "},
		"not Redis":     {"http://user:secret@host", "-redis: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := run(&out, []string{"-redis", c.url})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}
