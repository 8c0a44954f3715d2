package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/nearside-go/nearside/cache/remote"
)

// Undelivered are invalidations that the remote tier has not confirmed, and that the Cache
// does not attempt any more. Other instances may go on reading the old values for MaxAge
// and the longer window, unless an instance makes the invalidations with [Cache.Redeliver].
// To that end an Undelivered can be sent through a queue, as JSON for example.
//
// As an error, Undelivered is returned by Close.
type Undelivered struct {
	Cache  string   // Options.Name
	Schema int      // Options.Schema, to which Keys belong
	Keys   []string // as Options.Key writes them
	Tags   []string
	All    bool // the whole cache, because of InvalidateAll or of too many keys and tags
}

// Error returns how many invalidations there are. It names no keys.
func (u *Undelivered) Error() string {
	if u.All {
		return "cache: closed before the remote tier has confirmed an invalidation of the whole cache"
	}
	return fmt.Sprintf("cache: closed before the remote tier has confirmed the invalidation of %d keys and %d tags", len(u.Keys), len(u.Tags))
}

// undeliveredJSON is the JSON of an Undelivered. A string of JSON is text, and a key or a tag may
// be any bytes: those that are no text are in KeyBytes and TagBytes.
type undeliveredJSON struct {
	Cache    string
	Schema   int
	Keys     []string `json:",omitempty"`
	Tags     []string `json:",omitempty"`
	KeyBytes [][]byte `json:",omitempty"`
	TagBytes [][]byte `json:",omitempty"`
	All      bool     `json:",omitempty"`
}

// MarshalJSON returns u as JSON.
func (u Undelivered) MarshalJSON() ([]byte, error) {
	j := undeliveredJSON{Cache: u.Cache, Schema: u.Schema, All: u.All}
	j.Keys, j.KeyBytes = splitText(u.Keys)
	j.Tags, j.TagBytes = splitText(u.Tags)
	return json.Marshal(j)
}

// UnmarshalJSON sets u to what MarshalJSON has returned.
func (u *Undelivered) UnmarshalJSON(data []byte) error {
	var j undeliveredJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*u = Undelivered{Cache: j.Cache, Schema: j.Schema, Keys: j.Keys, Tags: j.Tags, All: j.All}
	for _, key := range j.KeyBytes {
		u.Keys = append(u.Keys, string(key))
	}
	for _, tag := range j.TagBytes {
		u.Tags = append(u.Tags, string(tag))
	}
	return nil
}

// splitText returns the names that are UTF-8, and the others.
func splitText(names []string) (text []string, others [][]byte) {
	for _, name := range names {
		if utf8.ValidString(name) {
			text = append(text, name)
		} else {
			others = append(others, []byte(name))
		}
	}
	return text, others
}

// Redeliver makes the invalidations of u, which this Cache or another instance could not
// deliver. Once Redeliver has returned nil, they are made as by Invalidate and
// InvalidateTags: they reach both tiers of all instances, and a load that began before is not
// stored. Keys of another Options.Schema are deleted for the instances of that schema.
//
// If Redeliver returns a [*RemoteError], some of the invalidations may not have been made. They
// are not queued, so the error is not ErrQueued, and DeadLetters does not receive them again: the
// caller keeps u, and calls Redeliver again after a pause, as a queue does whose handler has
// failed. To make invalidations twice is harmless. The other errors are ErrClosed, and errors for
// a u of another cache, or with a tag that InvalidateTags would refuse.
//
// Like Invalidate, Redeliver does not stop at ctx's end.
func (c *Cache[K, V]) Redeliver(ctx context.Context, u Undelivered) error {
	if u.Cache != c.opts.Name {
		return fmt.Errorf("cache: %s: Redeliver was given invalidations of another cache, %q", c.opts.Name, u.Cache)
	}
	if err := checkTags(u.Tags); err != nil {
		return err
	}
	if !c.gate.enter() {
		return ErrClosed
	}
	defer c.gate.leave()
	names := c.namesOf(u)
	if len(names) == 0 {
		return nil
	}
	err := c.redeliver(context.WithoutCancel(ctx), names)
	c.traceInvalidate(ctx, names, true, err)
	return err
}

// redeliver is overwrite without the queue.
func (c *Cache[K, V]) redeliver(ctx context.Context, names []string) error {
	c.dropNames(names)
	if c.opts.Remote == nil {
		return nil
	}
	round := c.journal.Round()
	failed, err := c.deliver(ctx, names)
	c.journal.Confirm(remote.Without(names, failed), round)
	c.dropNames(names) // again: see overwrite
	if err != nil {
		return &RemoteError{Cache: c.opts.Name, Op: opRedeliver, Err: err}
	}
	return nil
}

// namesOf returns the names of an Undelivered of this cache.
func (c *Cache[K, V]) namesOf(u Undelivered) []string {
	names := c.tagNames(u.Tags)
	if u.All {
		names = append(names, c.tagPrefix)
	}
	prefix := keyPrefix(c.opts.Name, u.Schema)
	for _, key := range u.Keys {
		names = append(names, prefix+key)
	}
	return names
}

// undelivered returns the Undelivered of names; nil if there are none.
func (c *Cache[K, V]) undelivered(names []string) *Undelivered {
	if len(names) == 0 {
		return nil
	}
	u := &Undelivered{Cache: c.opts.Name, Schema: c.opts.Schema}
	for _, name := range names {
		switch rest, isTag := splitName(name); {
		case !isTag:
			u.Keys = append(u.Keys, rest)
		case rest == "":
			u.All = true
		default:
			u.Tags = append(u.Tags, rest)
		}
	}
	return u
}

// abandon hands DeadLetters the names whose invalidation is not attempted any more, or not one by
// one. If DeadLetters does not take them, abandon returns them; otherwise nil. It leaves out keys of
// another Schema, which a Redeliver has deleted and the server has lost: an Undelivered is of one
// Schema.
func (c *Cache[K, V]) abandon(ctx context.Context, names []string) *Undelivered {
	u := c.undelivered(slices.DeleteFunc(names, func(name string) bool { return !c.concerns(name) }))
	if u != nil && c.opts.DeadLetters != nil && c.hooks.Call(ctx, func(ctx context.Context) { c.opts.DeadLetters(ctx, *u) }) {
		return nil
	}
	return u
}
