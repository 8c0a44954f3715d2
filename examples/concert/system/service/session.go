package service

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/nearside-go/nearside/cache"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// A session has two halves. The token is signed, so that any instance can check it without a
// read. The session repository knows whether the session is still open. It is read through Redis,
// so that a session that was closed on one instance is closed on all instances.

// sessionLasts is for how long a token is valid.
const sessionLasts = 24 * time.Hour

// claims are the contents of a token.
type claims struct {
	jwt.RegisteredClaims // Subject is the email, ID is the session
}

func (s *Service) sign(email, session string) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{jwt.RegisteredClaims{
		Subject: email, ID: session,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(sessionLasts)),
	}}).SignedString([]byte(s.config.Secret))
}

// token returns the claims of the request's token.
func (s *Service) token(r *http.Request) (claims, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return claims{}, errNoSession
	}
	var c claims
	_, err := jwt.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return []byte(s.config.Secret), nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired())
	if err != nil {
		return claims{}, errNoSession
	}
	return c, nil
}

// session returns the claims of the request's token, if its session is open.
func (s *Service) session(r *http.Request) (claims, error) {
	c, err := s.token(r)
	if err != nil {
		return claims{}, err
	}
	email, err := s.read.sessions.get(r.Context(), c.ID)
	if errors.Is(err, cache.ErrNotFound) || err == nil && email != c.Subject {
		return claims{}, errNoSession
	}
	return c, err
}

// Person is the answer of a session, and Token that of a sign-up besides.
type Person struct {
	Email string `json:"email"`
	Token string `json:"token,omitempty"`
}

func (s *Service) putSignUp(r *http.Request) (reply, error) {
	email := r.PathValue("email")
	if len(email) > 200 || !strings.Contains(email, "@") {
		return reply{}, errBadRequest("the email has no @, or is too long")
	}
	var body struct{ Name string }
	if err := decode(r, &body); err != nil {
		return reply{}, err
	}
	session := rand.Text()
	outgoing, err := s.store.SignUp(r.Context(), email, body.Name, session)
	if err != nil {
		return reply{}, err
	}
	if outgoing != 0 {
		s.send(r.Context(), store.Outgoing{ID: outgoing, Kind: store.KindWelcome, Subject: email})
	}
	token, err := s.sign(email, session)
	return reply{status: http.StatusAccepted, body: Person{Email: email, Token: token}}, err
}

func (s *Service) getSession(r *http.Request) (reply, error) {
	c, err := s.session(r)
	return reply{body: Person{Email: c.Subject}}, err
}

// deleteSession closes a session. One that is closed already is no error: a load balancer may send
// the request again. For the outbox see putBooking.
func (s *Service) deleteSession(r *http.Request) (reply, error) {
	c, err := s.token(r)
	if err != nil {
		return reply{}, err
	}
	outgoing, err := s.store.CloseSession(r.Context(), c.ID)
	if err != nil {
		return reply{}, err
	}
	s.committed(r.Context(), outgoing, s.read.sessions.invalidate(r.Context(), c.ID))
	return reply{body: Person{Email: c.Subject}}, nil
}

// mailName is the name under which the welcome mail of a message is sent. It is the same for
// each delivery of the message, so the provider sends the mail once. A replayed message keeps
// the name.
func (s *Service) mailName(m queue.Message) string {
	return s.config.Prefix + "-" + queue.FirstID(m.ID)
}

// welcome handles a message of KindWelcome.
func (s *Service) welcome(ctx context.Context, m queue.Message) error {
	if err := s.sendMail(ctx, s.mailName(m), string(m.Body)); err != nil {
		return err
	}
	s.crash.at(CrashAfterMail)
	return nil
}
