// Package mutants removes the guards of the protocol from the library, one at a time, and
// requires that the checkers notice: a checker that cannot fail proves nothing. The library
// has no switches for its guards. The changes are made to copies of files, which the go
// command compiles in place of the originals (go help build, -overlay).
package mutants
