// Package nearside is cache-aside that stays out of the list of things that can
// go wrong: an LRU in the process, Redis behind it for all instances, one load
// for all who wait, and the source when Redis is slow or dead.
//
// This package holds no code. Start with package cache; package redis is the
// remote tier; packages local and loader can be used alone; package
// cache/cachetest is for tests and for other remote tiers.
package nearside
