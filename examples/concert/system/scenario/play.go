package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// all are the scenarios, in the order in which they are played.
var all = []scenario{
	{name: "no fault", act: quiet},
	{name: "an instance is killed", act: killOne},
	{name: "an instance hangs", act: hangOne},
}

// Play plays all scenarios, each for at least a time, and prints the table as it comes. The
// error says which rows are not as they should be.
func (w *World) Play(ctx context.Context, out io.Writer, least time.Duration) error {
	PrintHeading(out)
	var wrong []error
	for _, sc := range all {
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
