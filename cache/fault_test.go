package cache_test

import (
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

func slowBy(d time.Duration) func(string) cachetest.Fault {
	return func(string) cachetest.Fault { return cachetest.Fault{Delay: d} }
}

// on makes one kind of command fail so.
func on(op string, f cachetest.Fault) func(string) cachetest.Fault {
	return func(got string) cachetest.Fault {
		if got == op {
			return f
		}
		return cachetest.Fault{}
	}
}

// delayed delays commands by their kind.
func delayed(delays map[string]time.Duration) func(string) cachetest.Fault {
	return func(op string) cachetest.Fault { return cachetest.Fault{Delay: delays[op]} }
}

// held holds the replies to one kind of command back.
func held(op string, d time.Duration) func(string) cachetest.Fault {
	return on(op, cachetest.Fault{Hold: d})
}

// hangsFromTheFillOn makes the first fill hang, and all commands after it.
func hangsFromTheFillOn(r *cachetest.Remote) {
	r.Inject(func(op string) cachetest.Fault {
		if op == "fill" || op == "release" || r.Calls("fill") > 0 {
			return cachetest.Fault{Delay: time.Hour}
		}
		return cachetest.Fault{}
	})
}
