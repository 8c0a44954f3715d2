package redistest

import (
	"cmp"
	"net"
	"testing"
	"time"
)

const linkWithin = 15 * time.Second // how long a replica may take to copy its primary

// StartReplica starts a server that replicates primary, and returns when the replica holds
// a copy and its link is up. The args are those of [Start]. A replica that is killed and
// restarted replicates the same primary again.
func StartReplica(t testing.TB, primary *Server, args ...string) *Server {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		t.Fatalf("redistest: replica: %v", err)
	}
	s := Start(t, append([]string{"--replicaof", host, port}, args...)...)
	Eventually(t, linkWithin, "redistest: the replica's link to its primary is up", func() bool {
		return s.info("replication")["master_link_status"] == "up"
	})
	return s
}

// DenyReplicas ends the connections of the server's replicas and refuses new ones. They remain
// its replicas, and get none of its later writes.
func (s *Server) DenyReplicas() {
	s.t.Helper()
	name, _ := credentials()
	s.do("acl", "setuser", cmp.Or(name, "default"), "-psync", "-sync")
	s.do("client", "kill", "type", "replica")
}
