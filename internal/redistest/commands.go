package redistest

import (
	"context"
	"strconv"
	"strings"
)

// Commands returns the number of calls of each command since the start, or since
// [Server.ResetCommands]. Names are in lower case, with the subcommand after a bar: "get",
// "evalsha", "config|resetstat". A command that was never called is absent. Calls inside
// scripts count, and so do this package's own calls: a test looks at the names that concern
// it, not at the sum.
func (s *Server) Commands() map[string]int64 {
	s.t.Helper()
	calls := make(map[string]int64)
	for name, stats := range s.info("commandstats") {
		name, ok := strings.CutPrefix(name, "cmdstat_")
		if !ok {
			continue
		}
		calls[strings.ToLower(name)] = s.calls(stats)
	}
	return calls
}

// calls reads the number from "calls=3,usec=12,...".
func (s *Server) calls(stats string) int64 {
	s.t.Helper()
	first, _, _ := strings.Cut(stats, ",")
	n, err := strconv.ParseInt(strings.TrimPrefix(first, "calls="), 10, 64)
	if err != nil {
		s.t.Fatalf("redistest: commandstats: %v", err)
	}
	return n
}

// ResetCommands sets all counts of [Server.Commands] to zero, and resets the other
// statistics of INFO.
func (s *Server) ResetCommands() {
	s.t.Helper()
	s.do("config", "resetstat")
}

// info returns the fields of a section of INFO.
func (s *Server) info(section string) map[string]string {
	s.t.Helper()
	text, err := s.client.Info(context.Background(), section).Result()
	if err != nil {
		s.t.Fatalf("redistest: info: %v", err)
	}
	return fields(text)
}

// fields reads lines of "name:value", as INFO and CLUSTER INFO print them.
func fields(text string) map[string]string {
	m := make(map[string]string)
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			m[name] = value
		}
	}
	return m
}
