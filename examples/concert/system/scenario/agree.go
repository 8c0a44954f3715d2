package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

const (
	// agreeOn is how many concerts are compared, the most popular ones.
	agreeOn = 12

	// agreeAfterOutage is how soon after an outage of Redis all instances have to show what the
	// database has. Where an instance could not read the log of invalidations, that takes until its
	// copies are not trusted any more, which is 5 s. After all other scenarios it takes seenWithin at
	// most, so an instance that never gets the invalidations of the others fails the row.
	agreeAfterOutage = 7 * time.Second
)

// agree is nil once every instance shows the prices, the notices and the sold seats of the
// database, if that is soon enough.
func (s *Side) agree(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		err := s.agreeNow(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func (s *Side) agreeNow(ctx context.Context) error {
	for id := int64(1); id <= agreeOn; id++ {
		concert, err := s.Store.Concert(ctx, id)
		if err != nil {
			return err
		}
		sold, err := s.Store.SoldSeats(ctx, id)
		if err != nil {
			return err
		}
		notices, err := s.Store.Notices(ctx, id)
		if err != nil {
			return err
		}
		for _, i := range s.Instances() {
			var page service.Page
			if err := ask(ctx, i, fmt.Sprintf("/api/concerts/%d", id), &page); err != nil {
				return err
			}
			if page.Cents != concert.Cents {
				return fmt.Errorf("%s shows the price %d of concert %d, and the database has %d", i.Name, page.Cents, id, concert.Cents)
			}
			if !slices.Equal(page.Notices, notices) {
				return fmt.Errorf("%s shows the notices %v of concert %d, and the database has %v", i.Name, page.Notices, id, notices)
			}
			var hall service.Hall
			if err := ask(ctx, i, fmt.Sprintf("/api/concerts/%d/seats", id), &hall); err != nil {
				return err
			}
			if !slices.Equal(hall.Sold, sold) {
				return fmt.Errorf("%s shows %d sold seats of concert %d, and the database has %d", i.Name, len(hall.Sold), id, len(sold))
			}
		}
	}
	return nil
}
