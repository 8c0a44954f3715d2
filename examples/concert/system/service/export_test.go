package service

import (
	"context"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

// WrapQueue puts a queue in place of that of an instance that does not work yet.
func (s *Service) WrapQueue(wrap func(ending context.Context, q queue.Queue) queue.Queue) {
	s.queue = wrap(s.ending, s.queue)
}

// Work starts the work of an instance that serves no requests.
var Work = (*Service).work

// TTL is the TTL of the values.
const TTL = ttl
