package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

// Depth returns how many messages the queue has.
func (q *Queue) Depth(ctx context.Context) (queue.Depth, error) {
	live, err := q.count(ctx, q.live())
	if err != nil {
		return queue.Depth{}, err
	}
	dead, err := q.count(ctx, q.dead())
	return queue.Depth{Live: live, Dead: dead}, err
}

func (q *Queue) count(ctx context.Context, stream string) (uint64, error) {
	s, err := q.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("find the stream %s: %w", stream, err)
	}
	return s.CachedInfo().State.Msgs, nil
}

// DeadLetters returns the oldest dead letters, up to a limit.
func (q *Queue) DeadLetters(ctx context.Context, limit int) ([]queue.Letter, error) {
	stream, err := q.js.Stream(ctx, q.dead())
	if err != nil {
		return nil, fmt.Errorf("find the dead letters: %w", err)
	}
	var letters []queue.Letter
	state := stream.CachedInfo().State
	for number := max(state.FirstSeq, 1); number <= state.LastSeq && len(letters) < limit; number++ {
		raw, err := stream.GetMsg(ctx, number)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the dead letters: %w", err)
		}
		letters = append(letters, q.letter(raw))
	}
	return letters, nil
}

func (q *Queue) letter(raw *jetstream.RawStreamMsg) queue.Letter {
	return queue.Letter{
		Name: strconv.FormatUint(raw.Sequence, 10), Kind: strings.TrimPrefix(raw.Subject, q.deadSubject("")),
		ID: raw.Header.Get(idHeader), Body: string(raw.Data), Reason: raw.Header.Get(reasonHeader),
	}
}

// Replay publishes a dead letter again, and removes it from the dead letters. If the process
// dies in between, a second Replay publishes nothing and removes the letter.
func (q *Queue) Replay(ctx context.Context, letter string) error {
	number, err := strconv.ParseUint(letter, 10, 64)
	if err != nil {
		return fmt.Errorf("there is no dead letter %q", letter)
	}
	stream, err := q.js.Stream(ctx, q.dead())
	if err != nil {
		return fmt.Errorf("find the dead letters: %w", err)
	}
	raw, err := stream.GetMsg(ctx, number)
	if err != nil {
		return fmt.Errorf("read dead letter %s: %w", letter, err)
	}
	l := q.letter(raw)
	if err := q.Publish(ctx, l.Kind, queue.ReplayID(l), raw.Data); err != nil {
		return err
	}
	return stream.DeleteMsg(ctx, number)
}
