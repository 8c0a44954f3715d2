package load

import (
	"context"
	"fmt"
	"sync"

	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// Ledger has the bookings that were confirmed to their users. It is safe for concurrent use.
type Ledger struct {
	mu    sync.Mutex // guards all below
	owner map[place]string
	twice []string
}

type place struct {
	concert int64
	seat    int
}

// enter enters a booking, and notes each seat that was confirmed to another one before.
func (l *Ledger) enter(name string, concert int64, seats []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner == nil {
		l.owner = make(map[place]string)
	}
	for _, seat := range seats {
		p := place{concert, seat}
		if other, ok := l.owner[p]; ok && other != name {
			l.twice = append(l.twice, fmt.Sprintf("seat %d of concert %d: %s and %s", seat, concert, other, name))
		}
		l.owner[p] = name
	}
}

// Twice returns how many seats were sold twice, and how many seats were sold.
func (l *Ledger) Twice() (twice, sold int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.twice), len(l.owner)
}

// Check compares all confirmed bookings with those in the database.
func (l *Ledger) Check(ctx context.Context, s *store.Store) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.twice) > 0 {
		return fmt.Errorf("%d seats were sold twice, such as %s", len(l.twice), l.twice[0])
	}
	all, err := s.AllSold(ctx)
	if err != nil {
		return fmt.Errorf("read the sold seats: %w", err)
	}
	sold := make(map[place]string, len(all))
	for _, seat := range all {
		sold[place{seat.Concert, seat.Seat}] = seat.Booking
	}
	for p, name := range l.owner {
		if sold[p] != name {
			return fmt.Errorf("seat %d of concert %d was confirmed to %s, and the database has it for %q", p.seat, p.concert, name, sold[p])
		}
	}
	return nil
}
