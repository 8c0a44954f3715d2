package redistest

import "testing"

func TestAKilledServerKeepsItsPort(t *testing.T) {
	t.Parallel()
	var port int
	t.Run("server", func(t *testing.T) {
		s := Start(t)
		s.Kill()
		if port = s.port; claim(port) {
			t.Error("another server may get the port of a server that is killed")
		}
		s.Restart()
	})
	claimed.mu.Lock()
	defer claimed.mu.Unlock()
	if claimed.ports[port] {
		t.Error("the port is claimed after the end of its server")
	}
}
