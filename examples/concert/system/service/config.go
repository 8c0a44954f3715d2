// Package service is an instance of the concert service: repositories with nearside in front
// of the store, and an HTTP API. Any number of instances run side by side. Their state is in
// the database, in Redis and in the queue, so any instance can answer any request.
package service

import "time"

// Config is the configuration of an instance.
type Config struct {
	Name     string
	Listen   string // the address of the HTTP server; "" is a free port of the loopback interface
	Version  int    // 1 or 2: version 2 caches concerts in another shape
	Prefix   string // of the keys in Redis
	Redis    string // its URL for redis.Open; "" is a service without any cache
	Database string // its URL or address, for clients.Database
	Queue    string // its URL for clients.Queue
	Mail     string // the URL of the mail provider
	Secret   string // signs the tokens of sessions
	Edge     string // the URL of the cache at the edge
	Purger   string // how the edge is purged: one of the constants PurgeNothing and so on

	// RedisTimeout bounds a call's wait for Redis; 0 is the default of redis.Options.Timeout.
	RedisTimeout time.Duration

	// Drain is for how long the instance goes on serving after it was asked to end, while
	// /readyz answers that it is not ready. A load balancer notices in that time.
	Drain time.Duration

	// Crash names the place where the process kills itself, once, to show what happens then:
	// "" for none.
	Crash string
}

// The places of Config.Crash.
const (
	CrashAfterCommit = "commit" // a booking is committed, and not invalidated
	CrashAfterMail   = "mail"   // a mail is sent, and its message not acknowledged
)
