// Package queue is the interface of the system's message queues, which are the packages in this
// folder.
//
// A message is delivered until its handler has returned nil, so a handler may see a message
// twice. After a failure the message is delivered again, with a pause that grows. A message
// that has failed as often as its kind allows, or whose handler's process has died as often,
// goes to the dead letters, where it stays until Replay.
package queue

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Queue is a connection to the queue of one name. The server need not be up. A Queue is safe
// for concurrent use.
type Queue interface {
	// Create creates the queues on the server for messages of kinds, if they are not there.
	Create(ctx context.Context, kinds ...string) error

	// Publish appends a message. A message with an id that was published in the last minute
	// may be dropped.
	Publish(ctx context.Context, kind, id string, body []byte) error

	// Handle calls handler for the messages of a kind, one at a time, until Stop. All Queues
	// of a name share the messages. handler's context ends when the message would be delivered
	// again, and at Stop. attempts is how often a message is handed to a handler; 0 is no limit.
	Handle(kind string, attempts int, handler Handler)

	// Depth returns how many messages the queue has, of the kinds that Create was called for.
	Depth(ctx context.Context) (Depth, error)

	// DeadLetters returns the oldest dead letters, up to a limit.
	DeadLetters(ctx context.Context, limit int) ([]Letter, error)

	// Replay publishes a dead letter again, with an id that ReplayID makes, and removes it
	// from the dead letters.
	Replay(ctx context.Context, letter string) error

	// Stop ends the handling of messages, and waits for the handlers that run.
	Stop()

	// Close stops, and ends the connection for good: later calls return an error.
	Close()
}

// Handler handles a message.
type Handler func(context.Context, Message) error

// Message is a delivered message.
type Message struct {
	ID      string
	Kind    string
	Body    []byte
	Attempt int // 1 for the first delivery
}

// Letter is a dead letter.
type Letter struct {
	Name   string // for Replay
	Kind   string
	ID     string
	Body   string
	Reason string // why the last attempt failed
}

// Depth is how many messages there are.
type Depth struct {
	Live uint64 // not handled yet; those that a handler has may not count
	Dead uint64
}

// ErrHopeless is wrapped by the error of a handler for a message that no attempt can help. The
// message goes to the dead letters at once.
var ErrHopeless = errors.New("queue: no attempt can help")

// ErrDied is the reason of a dead letter whose handler's process died, or, with some queues, hung.
var ErrDied = errors.New("the process died while it handled the message")

// AckWithin is how long a handler may take.
const AckWithin = time.Second

// Pauses are those after the failed attempts of a message. The last one is repeated.
var Pauses = [...]time.Duration{
	50 * time.Millisecond, 150 * time.Millisecond, 450 * time.Millisecond, 1350 * time.Millisecond, 2 * time.Second,
}

// PauseAfter is the pause after a failed attempt.
func PauseAfter(attempt int) time.Duration { return Pauses[min(attempt, len(Pauses))-1] }

const replayed = "-replay-"

// ReplayID is the id of a message that replays a dead letter.
func ReplayID(l Letter) string { return l.ID + replayed + l.Name }

// FirstID is the id under which a message was published first, before any Replay.
func FirstID(id string) string {
	first, _, _ := strings.Cut(id, replayed)
	return first
}

// Keep calls consume until ctx ends. After an error it waits for a moment: the server is away.
func Keep(ctx context.Context, consume func() error) {
	for ctx.Err() == nil {
		if err := consume(); err == nil {
			continue
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
