// SPDX-License-Identifier: MIT

package apponlyotel

import (
	"strings"
	"sync"
)

// mostScopes is how many scopes metrics name unless the program says which.
const mostScopes = 32

// other stands for all names that are not known.
const other = "other"

// names bound what a metric may name: each costs series, in the process and wherever
// the metrics are kept.
type names struct {
	mu    sync.Mutex // guards both
	known map[string]bool
	room  int // for names that are seen
}

// newNames returns the names of a list, or, if that is nil, the first that will be seen.
func newNames(list []string) *names {
	n := &names{known: map[string]bool{}}
	if list == nil {
		n.room = mostScopes
	}
	for _, name := range list {
		n.known[strings.ToLower(name)] = true
	}
	return n
}

// of returns the name itself if it is known, else other.
func (n *names) of(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch key := strings.ToLower(name); {
	case n.known[key]:
		return name
	case n.room > 0:
		n.room--
		n.known[key] = true
		return name
	}
	return other
}
