// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"time"
)

// A SharedStore keeps bytes for the processes of a fleet, so that one of them asks
// Entra and the others get its token: see [CacheOptions]. It need not be reliable. It
// may forget, refuse, hang, or answer with what it held long ago; nothing worse comes
// of it than one more token request. It never sees a token, a tenant, an app or a
// scope: keys are 32 characters of the URL alphabet of base64, values are sealed.
//
// Its methods are called by several goroutines at once, never on a hit. Each has 250
// ms, dialling included. One that ignores its context is left behind and not called
// again for minutes.
type SharedStore interface {
	// Get returns what is kept under key, nil if there is nothing, and for how much
	// longer it is kept, 0 if that is not known.
	Get(ctx context.Context, key string) (value []byte, left time.Duration, err error)
	// Set keeps value under key for ttl, in place of what is there. A ttl may be as
	// short as a millisecond, which stands for letting go; a store that counts in
	// seconds may round it up.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Add is Set if there is nothing under key, in one step that no other process can
	// come between, and reports whether there was not.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error)
}

// SharedKeys seal what lies in a [SharedStore]. The first one seals, all of them open,
// so that keys are rotated without a token request more: give every process the old
// key and the new one, then the new one and the old one, then the new one.
//
// Whoever has one of the keys can use the tokens in the store: keep them like the
// credential itself, and one set of them for each app or circle of trust.
type SharedKeys struct {
	fault error
}

// SharedKey returns keys of 32 random bytes each, 8 at most.
func SharedKey(keys ...[]byte) SharedKeys { return SharedKeys{} }

// SharedKeyFile reads the keys from a file: one a line, in base64, 8 at most. It is
// looked at when the store is used, once a second at most, and read again when it has
// changed. While it cannot be read the keys that were read last go on.
func SharedKeyFile(path string) SharedKeys { return SharedKeys{} }
