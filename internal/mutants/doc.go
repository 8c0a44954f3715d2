// Package mutants takes the guards of the protocol out of the library, one at a time, and
// wants its checkers to notice: a checker that cannot fail proves nothing. The library has
// no switches for that. The changes are made to copies of files, which the go command
// compiles in place of the originals (go help build, -overlay).
package mutants
