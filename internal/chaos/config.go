package chaos

import (
	"cmp"
	"time"
)

// Env is the environment variable with the Config of the process.
const Env = "NEARSIDE_CHAOS_PROCESS"

// The load of the process.
const (
	instances  = 3
	readers    = 32 // but in the long outage: see Outages
	beside     = 4  // readers of the instance that has no Redis
	writers    = 2  // the first instances have one each
	keys       = 1000
	readPause  = 2 * time.Millisecond
	writePause = 10 * time.Millisecond
	loadTakes  = time.Millisecond
	localTTL   = time.Second
	ttl        = time.Minute
)

// healing is how long the process waits for Redis hits after the load has run its time.
const healing = 20 * time.Second

// The clients that instances can have.
const (
	noCache        = "no cache"
	noRedis        = "no Redis"
	openURL        = "redis.Open"
	plainClient    = "Client"
	failoverClient = "failover client"
	clusterClient  = "ClusterClient"
)

// Config is the configuration of the process, in JSON.
type Config struct {
	Client   string
	URL      string            // for openURL and plainClient
	Master   string            // the name of the primary, for failoverClient
	Addrs    []string          // of the Sentinels, or of nodes of the Cluster
	Links    map[string]string // from a node's address to that of the link to it, for clusterClient
	Deadline time.Duration     // of each read
	Noticing time.Duration     // from the end of a fault that has lost writes until instances serve no old values
	Heals    bool              // there are hits at the end
	Ill      bool              // the fault is there from the start
	Readers  int
	Beside   int           // readers of an instance that has no Redis
	Local    time.Duration // Local.TTL; 0 means the default
	Windows  bool          // all windows of the cache
}

// down is the longest outage that Windows are for.
const down = time.Hour

// bound returns how old a read may be: Local.TTL, and a second for the delivery of an entry of
// the log on a busy machine.
func (c Config) bound() time.Duration {
	bound := cmp.Or(c.Local, ttl/2) + time.Second
	if c.Windows {
		bound += down
	}
	return bound
}
