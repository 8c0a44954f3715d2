package redis

import (
	"errors"
	"testing"
	"time"

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
	s.use(goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"}))
	defer s.Close()
	b := s.whole.reads
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

// A process that does not run in time notices timeouts late. They open no breaker, unless
// Redis answers nothing for a while.
func TestTimeoutsOfAProcessThatDoesNotRunAreNoFailures(t *testing.T) {
	o, err := Options{ProbeInterval: time.Hour}.complete()
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(o)
	s.use(goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"}))
	defer s.Close()
	if err := s.lateness(time.Now().Add(-o.Timeout)); err != errStarved {
		t.Errorf("a timeout that is noticed a budget late is %v, want %v", err, errStarved)
	}
	b := s.whole.reads
	b.learn(nil)
	for range 10 * o.MaxFailures {
		b.learn(errStarved)
	}
	if b.open.Load() {
		t.Error("the breaker is open")
	}
	b.mu.Lock()
	b.starved = time.Now().Add(-maxStarved)
	b.mu.Unlock()
	for range o.MaxFailures {
		b.learn(errStarved)
	}
	if !b.open.Load() {
		t.Errorf("the breaker is closed, though Redis has not answered for %v", maxStarved)
	}
}
