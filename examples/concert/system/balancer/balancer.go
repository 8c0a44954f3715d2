// Package balancer is the interface of the system's load balancers, which are the packages in
// this folder.
package balancer

import "time"

// Balancer is a load balancer with a front for each fleet. It asks the readiness of each
// instance, and sends requests to a ready instance that has few. A request whose
// instance refuses it, breaks it off or does not answer is sent to another instance. A Balancer
// is safe for concurrent use.
type Balancer interface {
	// Listen adds a front at addr, and returns its address. A port of 0 is a free one.
	Listen(name, addr string) (string, error)

	// Set makes instances, by their addresses, those behind a front. Requests that are under
	// way are served to their end.
	Set(name string, instances []string) error

	// Close ends the Balancer, and closes all fronts.
	Close() error
}

const (
	// CheckEvery is how often the readiness of an instance is asked.
	CheckEvery = 100 * time.Millisecond

	// AnswerWithin is how long an instance may take until it answers. Then the request is
	// sent to another one.
	AnswerWithin = 600 * time.Millisecond
)
