package scenario

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// mailWithin is how soon a mail has to be sent, on a busy machine.
const mailWithin = 10 * time.Second

// people returns addresses that no other scenario has.
func (s *Side) people(who string, n int) []string {
	out := make([]string, n)
	run := strings.ToLower(rand.Text()[:6])
	for k := range out {
		out[k] = fmt.Sprintf("%s-%d@%s.%s.example.org", who, k, run, s.Name)
	}
	return out
}

func (s *Side) signUp(ctx context.Context, people []string) error {
	for _, p := range people {
		if _, err := s.Users.SignUp(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// mailed returns once each of the people was sent a mail. Two mails to one of them are an
// error.
func (w *World) mailed(ctx context.Context, people []string) error {
	_, err := until(ctx, mailWithin, "everybody has a mail", func() (bool, error) {
		all := true
		for _, p := range people {
			switch n := w.Mail.SentTo(p); {
			case n > 1:
				return false, fmt.Errorf("%s was sent %d mails", p, n)
			case n == 0:
				all = false
			}
		}
		return all, nil
	})
	return err
}

// signUps signs people up while the mail provider hangs.
func signUps(ctx context.Context, w *World, s *Side) (string, error) {
	people := s.people("new", 10)
	w.event("the mail provider hangs")
	release := w.Mail.Hold()
	begun := time.Now()
	err := s.signUp(ctx, people)
	took := time.Since(begun) / time.Duration(len(people))
	w.event("the mail provider answers again")
	release()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("answered after %s while the mail provider hangs", short(took)), w.mailed(ctx, people)
}

// deadLetters signs people up whose mails the provider refuses, and replays their mails when
// it accepts them.
func deadLetters(ctx context.Context, w *World, s *Side) (string, error) {
	people := s.people("refused", 3)
	for _, p := range people {
		w.Mail.Fail(p, true)
	}
	before := w.Mail.Counts().Refused
	if err := s.signUp(ctx, people); err != nil {
		return "", err
	}
	var letters []queue.Letter
	_, err := until(ctx, mailWithin, "each refused mail is a dead letter", func() (bool, error) {
		var err error
		letters, err = s.Queue.DeadLetters(ctx, 100)
		return len(letters) == len(people), err
	})
	if err != nil {
		return "", err
	}
	attempts, err := w.attemptsEnd(ctx, s, before, len(people))
	if err != nil {
		return "", err
	}
	w.event("%d dead letters after %d attempts", len(letters), attempts)
	for _, p := range people {
		w.Mail.Fail(p, false)
	}
	for _, l := range letters {
		if err := s.Queue.Replay(ctx, l.Name); err != nil {
			return "", err
		}
	}
	if err := w.mailed(ctx, people); err != nil {
		return "", err
	}
	if letters, err = s.Queue.DeadLetters(ctx, 100); err == nil && len(letters) > 0 {
		err = fmt.Errorf("%d dead letters are left after the replay", len(letters))
	}
	return fmt.Sprintf("%d attempts each, then dead letters; replayed and sent", service.MailAttempts), err
}

// attemptsEnd returns once there are no further attempts to send refused mails, and the queue has
// none that waits for another one. A queue may have a message twice, if the row of the outbox was
// published twice, and then there are twice as many attempts.
func (w *World) attemptsEnd(ctx context.Context, s *Side, before, mails int) (attempts int, err error) {
	_, err = until(ctx, mailWithin, fmt.Sprintf("each refused mail had %d attempts, and no more", service.MailAttempts), func() (bool, error) {
		attempts = w.Mail.Counts().Refused - before
		pause(ctx, 300*time.Millisecond)
		still := w.Mail.Counts().Refused-before == attempts
		depth, err := s.Queue.Depth(ctx)
		return err == nil && depth.Live == 0 && still && attempts >= service.MailAttempts*mails && attempts%service.MailAttempts == 0, nil
	})
	return attempts, err
}

// killConsumer kills an instance that has sent a mail and has not acknowledged its message.
func killConsumer(ctx context.Context, w *World, s *Side) (string, error) {
	victim, err := s.Start(ctx, s.Instances()[0].Version, func(c *service.Config) { c.Crash = service.CrashAfterMail })
	if err != nil {
		return "", err
	}
	defer victim.Kill()
	if err := victim.Ready(ctx); err != nil {
		return "", err
	}
	before := w.Mail.Counts()
	var people []string
	_, err = until(ctx, diesWithin, victim.Name+" dies after it has sent a mail", func() (bool, error) {
		next := s.people("once", 1)
		people = append(people, next...)
		err := s.signUp(ctx, next)
		pause(ctx, 10*time.Millisecond)
		return !victim.Alive(), err
	})
	if err != nil {
		return "", err
	}
	w.event("%s has died between its work and its ack", victim.Name)
	if err := w.mailed(ctx, people); err != nil {
		return "", err
	}
	_, err = until(ctx, mailWithin, "the message was delivered again", func() (bool, error) {
		return w.Mail.Counts().Repeated > before.Repeated, nil
	})
	return fmt.Sprintf("%d mails, each sent once; the message was delivered twice", len(people)), err
}
