// SPDX-License-Identifier: MIT

package tokencache

import (
	"container/list"
	"math/rand/v2"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// A namespace is what the entries of one Identity.Key have in common. Cache.mu
// guards it, apart from id and state.
type namespace struct {
	key     any
	id      uint64
	state   any
	entries int
	scopes  map[string]*scope

	emptied clock.Instant // when the last entry left
	quiet   *list.Element // in Cache.quiet, nil while there are entries
}

// A scope is the one copy of its name in a namespace, so that a million entries
// share it.
type scope struct {
	name    string
	entries int
}

// quietFor is how long a namespace is kept without entries. What is known of a
// credential is worth more than its tokens: material that stands in for a file that
// is missing for a moment, after a night without traffic.
const quietFor = 24 * time.Hour

// namespaceOf returns the namespace of an identity, made if need be. The caller holds
// mu, and goes on to insert an entry if there is none.
func (c *Cache) namespaceOf(id *Identity) *namespace {
	ns := id.namespace.Load()
	if ns == nil || ns.entries == 0 { // then it may have left the cache
		if ns = c.namespaces[id.Key]; ns == nil {
			ns = &namespace{key: id.Key, id: rand.Uint64(), state: id.NewState(), scopes: map[string]*scope{}}
		}
		id.namespace.Store(ns)
	}
	return ns
}

// hold counts an entry of a scope in, and returns the scope's name.
func (ns *namespace) hold(c *Cache, name string) string {
	if ns.entries++; ns.entries == 1 {
		if c.namespaces == nil {
			c.namespaces = map[any]*namespace{}
		}
		c.namespaces[ns.key] = ns
		if ns.quiet != nil {
			c.quiet.Remove(ns.quiet)
			ns.quiet = nil
		}
	}
	s := ns.scopes[name]
	if s == nil {
		s = &scope{name: name}
		ns.scopes[name] = s
	}
	s.entries++
	return s.name
}

// release notes that an entry has left.
func (ns *namespace) release(c *Cache, name string, now clock.Instant) {
	s := ns.scopes[name]
	if s.entries--; s.entries == 0 {
		delete(ns.scopes, name)
	}
	if ns.entries--; ns.entries == 0 {
		ns.emptied, ns.quiet = now, c.quiet.PushBack(ns)
	}
}

// forgetQuiet drops namespaces that have been without entries for long, and the
// longest of them if there are more than there may be entries.
func (c *Cache) forgetQuiet(now clock.Instant) {
	for first := c.quiet.Front(); first != nil; first = c.quiet.Front() {
		ns := first.Value.(*namespace)
		if c.quiet.Len() <= c.Limit() && !ns.emptied.Add(quietFor).Reached(now) {
			return
		}
		c.quiet.Remove(first)
		ns.quiet = nil
		delete(c.namespaces, ns.key)
	}
}
