package servers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/servers"
)

func TestAMissingServerIsNamed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir) // there is nothing
	t.Setenv("TMPDIR", dir)
	_, err := servers.Start("debian")
	for _, want := range []string{"scripts/concert-servers installs", "no Redis is installed (Debian: the package redis-server)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, error %v", left, err)
	}
}
