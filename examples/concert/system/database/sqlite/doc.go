// Package sqlite is a server with a SQLite file, and a driver for database/sql that reaches the
// server. The server is a process of its own, so its count of statements does not depend on
// the processes that sent them, and a process that is killed or stopped holds no lock of the
// file.
//
// As other database servers do, the server rolls back a transaction whose client has gone,
// or has been silent for too long.
package sqlite
