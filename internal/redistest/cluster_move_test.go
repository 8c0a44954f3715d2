package redistest_test

import (
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
)

func TestClusterMovesASlot(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 2)
	c := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
	t.Cleanup(func() { _ = c.Close() })
	const keys = 250 // more than are moved at once
	key := func(i int) string { return fmt.Sprintf("{slot}%d", i) }
	for i := range keys {
		mustSet(t, c, key(i), fmt.Sprint(i))
	}
	from := cluster.Node("{slot}")
	to := cluster.Nodes()[0]
	if to == from {
		to = cluster.Nodes()[1]
	}
	for range 2 { // the second time there is nothing to do
		cluster.MoveSlot("{slot}", to)
		if got := cluster.Node("{slot}"); got != to {
			t.Fatalf("Node = %s, want %s", got.Addr(), to.Addr())
		}
	}
	for i := range keys {
		wantValue(t, to.Client(), key(i), fmt.Sprint(i))
		wantValue(t, c, key(i), fmt.Sprint(i))
	}
	if err := from.Client().Get(t.Context(), key(0)).Err(); err == nil || !strings.HasPrefix(err.Error(), "MOVED ") {
		t.Errorf("GET from the old owner: %v, want MOVED", err)
	}
	cluster.MoveSlot("{slot}", from) // and back
	wantValue(t, from.Client(), key(0), "0")
	wantValue(t, c, key(1), "1")
}
