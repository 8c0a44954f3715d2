package service

import (
	"os"
	"sync"
)

// crash kills the process at a place that the configuration names.
type crash struct {
	place string
	once  sync.Once
}

// at kills the process with SIGKILL if this is the place, so that nothing is cleaned up. It
// does not return then.
func (c *crash) at(place string) {
	if c.place != place {
		return
	}
	c.once.Do(func() {
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
	})
	select {}
}
