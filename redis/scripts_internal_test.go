package redis

import (
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

// A client that retries sends a script again when the reply to it was lost.
func TestLeaseScriptCanBeSentTwice(t *testing.T) {
	s, err := Open(redistest.Start(t).URL(), Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	record, another := newLease(), newLease()
	for _, sent := range []struct {
		record []byte
		taken  bool
	}{{record, true}, {record, true}, {another, false}} {
		taken, _, err := s.evalList(t.Context(), leaseScript, "k", sent.record, 60_000, "")
		if err != nil || taken != sent.taken {
			t.Fatalf("taken: %v, %v; want %v", taken, err, sent.taken)
		}
	}
}
