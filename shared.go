// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/sharedcache"
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
	// ring is a closure because fmt, spew and the like cannot see what a func has
	// captured.
	ring  func(context.Context) (sharedcache.Ring, error)
	fault error // for New
}

// SharedKey returns keys of 32 random bytes each, 8 at most.
func SharedKey(keys ...[]byte) SharedKeys {
	ring, err := sharedcache.NewRing(keys...)
	if err != nil {
		return SharedKeys{fault: errorf(ErrConfiguration, "apponly: SharedKey: %w", err)}
	}
	return SharedKeys{ring: func(context.Context) (sharedcache.Ring, error) { return ring, nil }}
}

// SharedKeyFile reads the keys from a file: one a line, in base64, 8 at most. It is
// looked at when the store is used, once a second at most, and read again when it has
// changed. While it cannot be read the keys that were read last go on; if there are
// none the store is not used. [EventSharedUnavailable] tells.
func SharedKeyFile(path string) SharedKeys {
	if path == "" {
		return SharedKeys{fault: errorf(ErrConfiguration, "apponly: SharedKeyFile: the path is empty")}
	}
	if err := checkPath(ErrConfiguration, "SharedKeyFile", path); err != nil {
		return SharedKeys{fault: err}
	}
	f := &keyFile{path: absolute(path), looks: newLooks()}
	return SharedKeys{ring: f.keys}
}

// fleet returns what the options say of sharing with other processes, nil if nothing.
func (o *CacheOptions) fleet() (*sharedcache.Cache, error) {
	switch {
	case o.Shared == nil:
		return nil, nil
	case holdsNil(o.Shared):
		return nil, errorf(ErrConfiguration, "apponly: CacheOptions.Shared is a nil %T", o.Shared)
	case o.SharedKeys.fault != nil:
		return nil, o.SharedKeys.fault
	case o.SharedKeys.ring == nil:
		return nil, errorf(ErrConfiguration, "apponly: CacheOptions.Shared is set without SharedKeys: nothing is kept there unsealed")
	}
	return &sharedcache.Cache{Store: o.Shared, Keys: o.SharedKeys.ring}, nil
}

// A keyFile is a file of shared keys and what was read of it last.
type keyFile struct {
	path  string
	looks *looks

	mu     sync.Mutex // guards what follows; not held while the file is looked at
	ring   sharedcache.Ring
	err    error // why ring is not what the file holds now
	stamp  string
	lookAt clock.Instant // nobody looks before
}

// keyFileEvery is how often the file is looked at, at most.
const keyFileEvery = time.Second

// keys returns the keys in the file, or those of an earlier time with an error.
func (f *keyFile) keys(ctx context.Context) (sharedcache.Ring, error) {
	if f.due() {
		if _, err := look(ctx, f.looks, "reading "+f.path, func(context.Context) (struct{}, error) { f.read(); return struct{}{}, nil }); err != nil {
			f.note(nil, err, "")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ring, f.err
}

func (f *keyFile) due() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lookAt.Reached(clock.Now())
}

// read reads the file if it has changed, or could not be read the last time: somebody may
// have been writing it.
func (f *keyFile) read() {
	stamp := fileStamp(f.path) // before it is read
	f.mu.Lock()
	ring := f.ring
	known := f.err == nil && ring != nil && f.stamp == stamp
	f.mu.Unlock()
	var err error
	if !known {
		ring, err = readKeyFile(f.path)
	}
	f.note(ring, err, stamp)
}

func (f *keyFile) note(ring sharedcache.Ring, err error, stamp string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookAt = clock.Now().Add(keyFileEvery)
	switch {
	case err == nil:
		f.ring, f.err, f.stamp = ring, nil, stamp
	case f.ring == nil:
		f.err = errorf(ErrConfiguration, "apponly: SharedKeyFile: %w", err)
	default:
		f.err = errorf(ErrConfiguration, "apponly: SharedKeyFile: the keys that were read last go on: %w", err)
	}
}

func readKeyFile(path string) (sharedcache.Ring, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	ring, err := sharedcache.ParseRing(withoutBOM(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}
