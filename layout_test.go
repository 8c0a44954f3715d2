package nearside_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nearside-go/nearside"

const (
	goRedis   = "github.com/redis/go-redis/v9"
	golangLRU = "github.com/hashicorp/golang-lru/v2"
	xSync     = "golang.org/x/sync"
)

// list runs go list on the library's packages as their users' builds see them.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func imports(t *testing.T, pkg string) []string {
	return list(t, "-f", "{{join .Imports \"\\n\"}}", module+"/"+pkg)
}

func deps(t *testing.T, pkg string) []string {
	return list(t, "-deps", module+"/"+pkg)
}

func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

// TestDirectionOfImports: redis -> cache/remote <- cache -> local, loader, and nothing back.
func TestDirectionOfImports(t *testing.T) {
	allowed := map[string][]string{
		"local":                   {},
		"loader":                  {"internal/stack"},
		"internal/stack":          {},
		"cache/remote":            {},
		"cache/internal/validity": {"cache/remote"},
		"cache/internal/journal":  {"cache/remote"},
		"cache/internal/guard":    {},
		"cache/internal/batch":    {"loader"},
		"internal/hook":           {},
		"cache": {
			"cache/remote", "cache/internal/validity", "cache/internal/journal", "cache/internal/guard", "cache/internal/batch",
			"local", "loader", "internal/hook", "internal/stack",
		},
		"redis":           {"cache/remote", "internal/hook"},
		"cache/cachetest": {"cache/remote"},
	}
	for pkg, may := range allowed {
		for _, path := range imports(t, pkg) {
			name, ours := strings.CutPrefix(path, module+"/")
			if ours && !slices.Contains(may, name) {
				t.Errorf("%s imports %s", pkg, name)
			}
		}
	}
}

// TestOneOwnerPerDependency: each of the three libraries is named by one package.
func TestOneOwnerPerDependency(t *testing.T) {
	owner := map[string]string{goRedis: "redis", golangLRU: "local", xSync: "loader"}
	for _, pkg := range []string{"local", "loader", "cache", "redis", "cache/cachetest"} {
		for _, path := range imports(t, pkg) {
			for dependency, of := range owner {
				if within(path, dependency) && pkg != of {
					t.Errorf("%s imports %s, which is for %s alone", pkg, path, of)
				}
			}
		}
	}
}

// TestLibraryPullsInNoTestCode holds also that cache works without go-redis.
func TestLibraryPullsInNoTestCode(t *testing.T) {
	for _, pkg := range []string{"local", "loader", "cache", "redis"} {
		for _, path := range deps(t, pkg) {
			if path == "testing" || within(path, module+"/internal/redistest") || within(path, module+"/cache/cachetest") {
				t.Errorf("%s pulls in %s", pkg, path)
			}
			if pkg != "redis" && within(path, goRedis) {
				t.Errorf("%s pulls in %s", pkg, path)
			}
		}
	}
}

// TestThreeRequirements: go.mod requires the three libraries, and what only
// tests use.
func TestThreeRequirements(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	testOnly := []string{"github.com/alicebob/miniredis/v2", "github.com/anishathalye/porcupine", "github.com/google/go-cmp", "pgregory.net/rapid"}
	library := []string{goRedis, golangLRU, xSync}
	direct := regexp.MustCompile(`(?m)^(?:require )?\t?([\w./-]+) v\S+$`).FindAllStringSubmatch(string(data), -1)
	var got []string
	for _, m := range direct {
		got = append(got, m[1])
	}
	slices.Sort(got)
	want := append(slices.Clone(testOnly), library...)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("go.mod requires %v, want %v", got, want)
	}
	for _, pkg := range []string{"local", "loader", "cache", "redis"} {
		for _, path := range deps(t, pkg) {
			for _, m := range testOnly {
				if within(path, m) {
					t.Errorf("%s pulls in %s", pkg, path)
				}
			}
		}
	}
}
