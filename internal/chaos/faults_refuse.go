package chaos

import (
	"net"

	"github.com/nearside-go/nearside/internal/redistest"
)

// refusals are the faults of a server that answers some commands, or all, with errors.
func refusals() []Fault {
	return []Fault{
		{Name: "oom", on: one, strike: func(s *scene) func() {
			s.admin("config", "set", "maxmemory", 1)
			return func() { s.admin("config", "set", "maxmemory", 0) }
		}},
		{Name: "readonly", on: one, strike: func(s *scene) func() {
			host, port, err := net.SplitHostPort(redistest.Refused(s.t))
			if err != nil {
				s.t.Fatal(err)
			}
			s.admin("replicaof", host, port)
			return func() { s.admin("replicaof", "no", "one") }
		}},
		denied("acl-xadd", "xadd"), denied("acl-evalsha", "evalsha"), denied("acl-xread", "xread"), denied("acl-get", "get"),
		denied("acl-all", "@all"),
		{Name: "password", on: one, gone: true, strike: func(s *scene) func() {
			s.admin("acl", "setuser", user, "resetpass", ">another")
			s.closeClients()
			return func() { s.admin("acl", "setuser", user, "resetpass", ">"+password) }
		}},
		{Name: "maxclients", on: one, strike: func(s *scene) func() {
			before := s.server.Client().ConfigGet(s.t.Context(), "maxclients").Val()["maxclients"]
			s.admin("config", "set", "maxclients", 3) // one of them is the test's own
			s.closeClients()
			return func() { s.admin("config", "set", "maxclients", before) }
		}},
		{Name: "tls-client", always: true, gone: true, on: func(s *scene) {
			one(s)
			s.config.URL = "rediss" + s.config.URL[len("redis"):]
		}},
	}
}

// denied returns a fault that takes a permission away.
func denied(name, what string) Fault {
	return Fault{Name: name, on: one, strike: func(s *scene) func() {
		s.admin("acl", "setuser", user, "-"+what)
		return func() { s.admin("acl", "setuser", user, "+"+what) }
	}}
}
