package chaos

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// scene has the servers of a row, and the process's configuration.
type scene struct {
	t      testing.TB
	lasts  time.Duration // the fault, unless the fault ends by itself
	config Config

	server    *redistest.Server     // the only one, or the primary
	link      *faultlink.Link       // to server, in linked
	sentinels []*redistest.Sentinel // of server
	cluster   *redistest.Cluster
	links     map[string]*faultlink.Link // to each node, in linkedCluster
}

// The user of the instances. Faults change the permissions of this user, and not those of
// the tests' own client.
const (
	user     = "app"
	password = "right"
)

// one starts one server.
func one(s *scene) {
	s.server = redistest.Start(s.t, "--user", user, "on", ">"+password, "~*", "&*", "+@all")
	s.config.Client, s.config.URL = openURL, urlOf(s.server.Addr())
}

func urlOf(addr string) string { return "redis://" + user + ":" + password + "@" + addr }

// linked starts one server behind a link.
func linked(s *scene) {
	one(s)
	s.link = s.linkTo(s.server.Addr())
	s.config.URL = urlOf(s.link.Addr())
}

func (s *scene) linkTo(addr string) *faultlink.Link {
	s.t.Helper()
	link, err := faultlink.Listen(addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = link.Close() })
	return link
}

// sentinels returns a function that starts a primary, its replica, and three Sentinels.
func sentinels(downAfter time.Duration) func(*scene) {
	return func(s *scene) {
		s.server = redistest.Start(s.t)
		redistest.StartReplica(s.t, s.server)
		s.sentinels = redistest.StartSentinels(s.t, s.server, 3, downAfter)
		s.config.Client, s.config.Master = failoverClient, s.sentinels[0].MasterName()
		for _, sentinel := range s.sentinels {
			s.config.Addrs = append(s.config.Addrs, sentinel.Addr())
		}
	}
}

// replicated starts a Cluster of three primaries with a replica each.
func replicated(s *scene) {
	unreplicated(s)
	s.cluster.AddReplicas()
	s.config.Addrs = s.cluster.Addrs()
}

// unreplicated starts a Cluster of three primaries.
func unreplicated(s *scene) {
	s.cluster = redistest.StartCluster(s.t, 3, "--cluster-require-full-coverage", "no")
	s.server = s.cluster.Nodes()[0]
	s.config.Client, s.config.Addrs = clusterClient, s.cluster.Addrs()
}

// linkedCluster starts a Cluster of three primaries with a replica each, and a link to each
// node.
func linkedCluster(s *scene) {
	replicated(s)
	s.links, s.config.Links = make(map[string]*faultlink.Link), make(map[string]string)
	for _, addr := range s.config.Addrs {
		s.links[addr] = s.linkTo(addr)
		s.config.Links[addr] = s.links[addr].Addr()
	}
}

// logKey is the key of the log.
const logKey = redis.DefaultPrefix + ":log"

// ofLog and ofOther choose a primary of a Cluster: the one with the log, or another.
func ofLog(s *scene) *redistest.Server { return s.cluster.Node(logKey) }

func ofOther(s *scene) *redistest.Server {
	log := ofLog(s)
	for _, node := range s.cluster.Nodes() {
		if node != log {
			return node // the first two are primaries
		}
	}
	return nil
}

// admin sends a command over the test's own client, and fails the test on an error.
func (s *scene) admin(args ...any) {
	s.t.Helper()
	if err := s.server.Client().Do(context.Background(), args...).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// soon bounds what the servers do by themselves, such as a failover.
const soon = 30 * time.Second

// serves waits until each of the nodes says that all slots are served.
func (s *scene) serves(nodes ...*redistest.Server) {
	s.t.Helper()
	redistest.Eventually(s.t, soon, "the Cluster is served", func() bool {
		for _, node := range nodes {
			info, err := node.Client().ClusterInfo(context.Background()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
				return false
			}
		}
		return true
	})
}

// without returns the nodes of the Cluster but one.
func (s *scene) without(gone *redistest.Server) (nodes []*redistest.Server) {
	for _, node := range s.cluster.Nodes() {
		if node != gone {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// listen takes the server's place on its port. The server must be killed.
func (s *scene) listen() net.Listener {
	s.t.Helper()
	l, err := net.Listen("tcp", s.server.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}
