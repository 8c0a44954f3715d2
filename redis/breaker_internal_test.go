package redis

import (
	"errors"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// A probe may close the breaker before its opening is reported. The outage has no cause
// then, and so comes to its end.
func TestABreakerThatClosesBeforeItIsReportedLeavesNoCause(t *testing.T) {
	o, err := Options{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(o)
	s.client = goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer s.Close()
	b := s.reads
	b.mu.Lock()
	report := b.openLocked(errors.New("refused"))
	b.mu.Unlock()
	b.close()
	report()
	s.outage.mu.Lock()
	defer s.outage.mu.Unlock()
	if n := len(s.outage.causes); n != 0 {
		t.Errorf("%d causes of the outage are left", n)
	}
}
