package mail_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/mail"
)

func TestTheProvider(t *testing.T) {
	s, err := mail.Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const ada, bob = "ada@example.org", "bob@example.org"
	send := func(id, to string) error { return mail.Send(t.Context(), s.URL(), id, to) }
	for range 2 {
		if err := send("1", ada); err != nil {
			t.Error(err)
		}
	}
	s.Fail(bob, true)
	if err := send("2", bob); err == nil || !strings.Contains(err.Error(), "the mailbox does not exist") {
		t.Errorf("error %v, want that the mailbox does not exist", err)
	}
	s.Fail(bob, false)
	if err := send("2", bob); err != nil {
		t.Error(err)
	}
	if got, want := s.Counts(), (mail.Counts{Sent: 2, Repeated: 1, Refused: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if s.SentTo(ada) != 1 || s.SentTo(bob) != 1 {
		t.Errorf("%d mails to Ada, %d to Bob, want one each", s.SentTo(ada), s.SentTo(bob))
	}
}

func TestAHeldProviderHangs(t *testing.T) {
	s, err := mail.Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	release := s.Hold()
	impatient, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := mail.Send(impatient, s.URL(), "1", "ada@example.org"); err == nil {
		t.Error("a mail was sent while the provider was held")
	}
	patient := make(chan error)
	go func() { patient <- mail.Send(t.Context(), s.URL(), "2", "ada@example.org") }()
	release()
	if err := <-patient; err != nil {
		t.Error(err)
	}
}
