// Package bench measures nearside beside the libraries that it is built on, in
// one run, in turns, and prints ratios: a machine's speed changes from minute to
// minute, the ratio of two things measured in turns hardly does. Run it with
// make bench.
package bench
