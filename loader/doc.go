// Package loader runs loads: once for all callers that want the same key
// ([Group]), and no more than so many side by side ([Limit]).
//
// # Why not singleflight
//
// [golang.org/x/sync/singleflight] was the first choice and falls short four
// times. Do runs on the first caller's goroutine and context: when that caller
// is cancelled, the healthy ones fail with it. DoChan frees the callers, but a
// function that panics there ends the process, whatever its callers recover.
// Neither can tell that the last caller has left, so nobody cancels a load that
// no one waits for. And Forget lets a running load finish as if nothing had
// happened, where a cache must know that its result is no longer worth storing.
package loader
