package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	masterName     = "nearside"
	failoverWithin = 20 * time.Second
)

// sentinelConf is written to a file, because a Sentinel writes its state back to its
// configuration.
const sentinelConf = `port %d
bind 127.0.0.1
protected-mode no
unixsocket %q
dir %q
sentinel monitor %[4]s %[5]s %[6]s %[7]d
sentinel down-after-milliseconds %[4]s %[8]d
sentinel failover-timeout %[4]s 5000
`

// Sentinel is one Sentinel that watches one primary. From StartSentinel it has a quorum of one:
// it declares the primary down after 500 ms without an answer, and then promotes a replica by
// itself.
type Sentinel struct {
	t      testing.TB
	server *Server
}

// StartSentinel starts a Sentinel for primary, and returns when the Sentinel knows all of
// the primary's replicas. Start the replicas first: a Sentinel asks a healthy primary for
// new replicas only every 10 s. The Sentinel ends with t.
func StartSentinel(t testing.TB, primary *Server) *Sentinel {
	t.Helper()
	return startSentinel(t, primary, 1, 500*time.Millisecond)
}

// startSentinel starts a Sentinel, which fails over when that many Sentinels have had no
// answer for downAfter.
func startSentinel(t testing.TB, primary *Server, quorum int, downAfter time.Duration) *Sentinel {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		t.Fatalf("redistest: sentinel: %v", err)
	}
	s := &Sentinel{t: t, server: start(t, func(s *Server) ([]string, error) {
		return s.sentinelLine(host, port, quorum, downAfter)
	})}
	replicas := primary.info("replication")["connected_slaves"]
	Eventually(t, startWithin, "redistest: the Sentinel knows the primary's replicas", func() bool {
		master := s.master()
		return master["num-slaves"] == replicas && master["flags"] == "master"
	})
	return s
}

// StartSentinels starts n Sentinels for primary, and returns when each of them knows all
// others and all of the primary's replicas. They promote a replica when most of them have had
// no answer from the primary for downAfter.
func StartSentinels(t testing.TB, primary *Server, n int, downAfter time.Duration) []*Sentinel {
	t.Helper()
	sentinels := make([]*Sentinel, n)
	for i := range sentinels {
		sentinels[i] = startSentinel(t, primary, n/2+1, downAfter)
	}
	others := strconv.Itoa(n - 1)
	Eventually(t, startWithin, "redistest: the Sentinels know each other", func() bool {
		return !slices.ContainsFunc(sentinels, func(s *Sentinel) bool { return s.master()["num-other-sentinels"] != others })
	})
	return sentinels
}

// sentinelLine writes the configuration for the current port, and returns the command line
// that reads it.
func (s *Server) sentinelLine(host, port string, quorum int, downAfter time.Duration) ([]string, error) {
	conf := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf(sentinelConf, s.port, s.Socket(), s.dir, masterName, host, port, quorum, downAfter.Milliseconds()) + sentinelUsers()
	return []string{conf, "--sentinel"}, os.WriteFile(conf, []byte(text), 0o600)
}

// Addr returns host:port of the Sentinel.
func (s *Sentinel) Addr() string { return s.server.Addr() }

// MasterName returns the name under which the Sentinel watches its primary.
func (s *Sentinel) MasterName() string { return masterName }

// Primary returns host:port of the server that the Sentinel names as the primary.
func (s *Sentinel) Primary() string {
	s.t.Helper()
	addr, err := s.server.do("sentinel", "get-master-addr-by-name", masterName).StringSlice()
	if err != nil || len(addr) != 2 {
		s.t.Fatalf("redistest: sentinel: primary %q, error %v", addr, err)
	}
	return net.JoinHostPort(addr[0], addr[1])
}

// Failover promotes a replica. It returns the new primary's host:port when the Sentinel is
// done: the promoted server reports that it is the primary, and the Sentinel returns its
// address. The old primary becomes a replica a little later.
func (s *Sentinel) Failover() string {
	s.t.Helper()
	old := s.Primary()
	s.beginFailover()
	Eventually(s.t, failoverWithin, "redistest: the Sentinel ends the failover", func() bool {
		return s.Primary() != old && !strings.Contains(s.master()["flags"], "failover")
	})
	return s.Primary()
}

// beginFailover repeats the request until the Sentinel accepts it. The Sentinel refuses
// with NOGOODSLAVE until a replica has answered its first INFO, and with INPROG during
// another failover.
func (s *Sentinel) beginFailover() {
	s.t.Helper()
	var err error
	if !poll(failoverWithin, func() bool {
		err = s.server.client.Do(context.Background(), "sentinel", "failover", masterName).Err()
		return err == nil
	}) {
		s.t.Fatalf("redistest: failover: %v", err)
	}
}

// master returns the Sentinel's fields about the primary.
func (s *Sentinel) master() map[string]string {
	s.t.Helper()
	pairs, err := s.server.do("sentinel", "master", masterName).StringSlice()
	if err != nil {
		s.t.Fatalf("redistest: sentinel: %v", err)
	}
	m := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}
