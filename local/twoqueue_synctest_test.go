package local_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/local"
)

func TestTwoQueueKeepsWhatComesBack(t *testing.T) {
	back := map[string]func(*local.Store[string, int]){
		"after an eviction": func(s *local.Store[string, int]) { scan(s, "other", 40) },
		"after a Remove":    func(s *local.Store[string, int]) { s.Remove("k") },
		"after its end": func(s *local.Store[string, int]) {
			time.Sleep(2 * time.Hour)
			s.Get("k")
		},
	}
	for name, leave := range back {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				long := local.Lifetime{TTL: 100 * time.Hour}
				s := newStore[string, int](t, local.Options{MaxEntries: 40, Policy: local.TwoQueue})
				for i := range 39 {
					s.Add("first"+strconv.Itoa(i), i, 1, long)
				}
				s.Add("k", 1, 1, hour)
				leave(s)
				mustMiss(t, s, "k")
				s.Add("k", 2, 1, long)
				scan(s, "scan", 1000)
				mustHit(t, s, "k", 2)
				mustHold(t, s, 40, 40)
			})
		})
	}
}
