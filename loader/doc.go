// Package loader runs loads: one load for all callers that want the same key ([Group]), and
// at most a given number of loads at a time ([Limit]).
//
// # Why not singleflight
//
// [golang.org/x/sync/singleflight] was the first choice, and falls short in four ways:
//
//   - Do runs on the first caller's goroutine and context: when that caller is cancelled,
//     the healthy callers fail too.
//   - DoChan frees the callers, but a function that panics there ends the process, whatever
//     its callers recover.
//   - Neither function notices that the last caller has left, so nothing cancels a load
//     that no caller waits for.
//   - Forget lets a running load finish as if nothing had happened, where a cache must know
//     that the result is no longer worth storing.
package loader
