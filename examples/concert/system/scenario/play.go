package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// scenarios are those of a World, in the order in which they are played.
func (w *World) scenarios() []scenario {
	return []scenario{
		{name: "no fault", act: quiet},
		{name: "an instance is killed", act: killOne},
		{name: "an instance hangs", act: hangOne},
		{name: "a price changes", act: prices},
		{name: "Redis is killed", act: killRedis, cachedOnly: true, noRedis: true},
		{name: "Redis hangs", act: hangRedis, cachedOnly: true, noRedis: true},
		{name: "a cold instance joins", act: newcomer},
		{name: "browsers ask again", act: askAgain},
		{name: "a price at the edge", act: atTheEdge},
		{name: "scale 1, 4, 2 by load", act: scale},
		{name: "rolling update, another Schema", act: roll},
		{name: "blue-green, and back", act: blueGreen},
		{name: "sign-ups and slow mail", act: signUps},
		{name: "mails that always fail", act: deadLetters},
		{name: "a consumer dies before its ack", act: killConsumer},
		{name: "a seller dies after its commit", act: w.crashAfterCommit, cachedOnly: true},
	}
}

// Play plays all scenarios, each for at least a time, and prints the table as it comes. The
// error names the rows that are not as they should be.
func (w *World) Play(ctx context.Context, out io.Writer, least time.Duration) error {
	w.round++
	PrintHeading(out)
	var wrong []error
	for _, sc := range w.scenarios() {
		row := w.play(ctx, sc, least)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		row.Print(out)
		if err := row.Err(); err != nil {
			wrong = append(wrong, err)
		}
	}
	twice, sold := w.Cached.Users.Ledger.Twice()
	twicePlain, soldPlain := w.Plain.Users.Ledger.Twice()
	fmt.Fprintf(out, "\nSeats sold: %d and %d. Seats sold twice: %d and %d.\n", sold, soldPlain, twice, twicePlain)
	return errors.Join(wrong...)
}
