package history_test

import (
	"fmt"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

func Example() {
	ms := func(n int64) int64 { return n * int64(time.Millisecond) }
	var recorder history.Recorder
	writer, reader := recorder.Client(), recorder.Client()
	writer.Commit(history.Commit{Key: "user:1", Version: 1, Start: ms(10), End: ms(12)})
	writer.Invalidated(history.Invalidated{Instance: 1, Key: "user:1", Version: 1, Start: ms(12), End: ms(13)})
	reader.Read(history.Read{Instance: 2, Key: "user:1", Version: 0, Start: ms(20), End: ms(21)})
	reader.Read(history.Read{Instance: 2, Key: "user:1", Version: 0, Start: ms(300), End: ms(301)})
	reader.Read(history.Read{Instance: 2, Key: "user:1", Version: 1, Start: ms(400), End: ms(402)})

	verdict := history.Judge(recorder.History(), history.Options{Delivery: 100 * time.Millisecond})
	fmt.Println(verdict)
	// Output:
	// 3 reads, 1 commits, 1 invalidations, 0 values at rest; 1 stale, 1 violations
	// without a fault: stale for at most 287ms
	// late: {Instance:2 Key:user:1 Version:0 Start:300000000 End:301000000} was stale for 287ms, allowed are 100ms, by {Instance:1 Key:user:1 Version:1 Start:12000000 End:13000000}
}
