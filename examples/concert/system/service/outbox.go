package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nearside-go/nearside/cache"

	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/mail"
	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

const (
	// relayEvery is how often an instance looks for rows of the outbox that nobody has sent.
	relayEvery = 100 * time.Millisecond

	// relayAfter is the age from which a row counts as left behind.
	relayAfter = 300 * time.Millisecond

	// forgetWithin is how long a row may take to be removed, while a request waits.
	forgetWithin = 2 * time.Second

	// buryWithin is how long an instance that ends tries to reach the queue.
	buryWithin = 2 * time.Second

	// MailAttempts is how often a mail is given to the provider before it is a dead letter.
	MailAttempts = 4
)

// send publishes a row of the outbox, and removes it. If the queue or the database fails, the
// row stays, and relay sends it later.
func (s *Service) send(ctx context.Context, o store.Outgoing) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayAfter)
	defer cancel()
	if err := s.queue.Publish(ctx, o.Kind, messageID(o), []byte(o.Subject)); err != nil {
		s.log.Warn("a message waits in the outbox", "error", err)
		return
	}
	s.done(ctx, o.ID)
}

// committed handles the error of the invalidation that follows a commit. outgoing is the row that
// the transaction has written to the outbox, or 0 for none.
func (s *Service) committed(ctx context.Context, outgoing int64, failed error) {
	s.invalidated(failed)
	if outgoing != 0 && failed == nil {
		s.done(ctx, outgoing)
	}
}

// done removes a row of the outbox whose work is done. If that fails, the work is done twice,
// which is harmless.
func (s *Service) done(ctx context.Context, outgoing int64) {
	ctx, cancel := context.WithTimeout(database.Background(context.WithoutCancel(ctx)), forgetWithin)
	defer cancel()
	if err := s.store.Forget(ctx, outgoing); err != nil {
		s.log.Warn("a row stays in the outbox", "error", err)
	}
}

// messageID is the same however often a row is published.
func messageID(o store.Outgoing) string { return o.Kind + "-" + strconv.FormatInt(o.ID, 10) }

// relay publishes the rows of the outbox that were left behind, as by a process that has
// died, until ctx ends. Every instance does so. A message that two of them publish may be
// delivered twice, as any message may.
func (s *Service) relay(ctx context.Context) {
	ctx = database.Background(ctx)
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due, err := s.store.Due(ctx, time.Now().Add(-relayAfter))
		if err != nil {
			continue // the database is away, and the next tick tries again
		}
		for _, o := range due {
			if ctx.Err() != nil {
				return
			}
			s.send(ctx, o)
		}
	}
}

// consume handles the messages of the queue.
func (s *Service) consume() {
	s.queue.Handle(store.KindWelcome, MailAttempts, s.welcome)
	s.queue.Handle(store.KindSeats, 0, s.seatsChanged) // for as long as Redis is away
	s.queue.Handle(store.KindSession, 0, s.sessionClosed)
	s.queue.Handle(kindUndelivered, 0, s.redeliver)
}

// Kinds are the kinds of messages of the service.
var Kinds = [...]string{store.KindWelcome, store.KindSeats, store.KindSession, kindUndelivered}

// kindUndelivered is a message whose body is a cache.Undelivered in JSON.
const kindUndelivered = "undelivered"

// bury hands invalidations that this instance cannot deliver to the others. This happens when
// the instance ends while Redis is away.
func (s *Service) bury(ctx context.Context, u cache.Undelivered) {
	body, err := json.Marshal(u)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), buryWithin)
		defer cancel()
		err = s.queue.Publish(ctx, kindUndelivered, rand.Text(), body)
	}
	if err != nil {
		s.log.Error("invalidations are lost; other instances may show old values until MaxAge", "cache", u.Cache, "error", err)
	}
}

// redeliver handles a message of kindUndelivered.
func (s *Service) redeliver(ctx context.Context, m queue.Message) error {
	var u cache.Undelivered
	if err := json.Unmarshal(m.Body, &u); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrHopeless, err)
	}
	return s.read.redeliver(ctx, u)
}

// seatsChanged handles a message of KindSeats. To invalidate twice is harmless.
func (s *Service) seatsChanged(ctx context.Context, m queue.Message) error {
	concert, err := strconv.ParseInt(string(m.Body), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: the message names no concert: %w", queue.ErrHopeless, err)
	}
	return s.read.seats.invalidate(ctx, concert)
}

// sessionClosed handles a message of KindSession.
func (s *Service) sessionClosed(ctx context.Context, m queue.Message) error {
	return s.read.sessions.invalidate(ctx, string(m.Body))
}

func (s *Service) sendMail(ctx context.Context, name, to string) error {
	return mail.Send(ctx, s.config.Mail, name, to)
}
