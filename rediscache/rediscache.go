// SPDX-License-Identifier: MIT

package rediscache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Options of [New] and [Open]. The zero value is fine, and so is nil.
type Options struct {
	// Prefix stands in front of every key. Empty: "apponly:".
	Prefix string
	// CAFile names a file with the roots, in PEM, that are trusted in place of the
	// system's. It is read for each connection. It is for [Open] and rediss:// only;
	// a client that is handed to [New] has its own.
	CAFile string
}

func (o *Options) prefix() string {
	if o == nil || o.Prefix == "" {
		return "apponly:"
	}
	return o.Prefix
}

// A Store keeps bytes in Redis. It is an [apponly.SharedStore].
type Store struct {
	client redis.UniversalClient
	prefix string
	close  func() error
}

// New returns the store behind a client of the program's own. The client should have
// ContextTimeoutEnabled set, so that a server that hangs leaves no goroutine behind
// until ReadTimeout is over, and few retries: a token request costs less. It believes
// its server: only connections of [Open] are bounded in what the other side may announce.
func New(c redis.UniversalClient, opts *Options) *Store {
	return &Store{c, opts.prefix(), func() error { return nil }}
}

// Close closes the connections of a store of [Open] or [FromEnv]. A client that was
// handed to [New] stays as it is.
func (s *Store) Close() error { return s.close() }

// maxValue bounds a value. A token with hundreds of groups and roles has some 10 kB.
const maxValue = 64 << 10

var errTooLarge = errors.New("rediscache: a value is larger than 64 KiB")

// Get returns what is kept under key and for how much longer, nil if there is nothing.
func (s *Store) Get(ctx context.Context, key string) (value []byte, left time.Duration, err error) {
	key = s.prefix + key
	var get *redis.StringCmd
	var pttl *redis.DurationCmd
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		get, pttl = p.Get(ctx, key), p.PTTL(ctx, key)
		return nil
	})
	value, getErr := get.Bytes()
	switch {
	case errors.Is(getErr, redis.Nil):
		return nil, 0, wrap(pttl.Err())
	case getErr != nil:
		return nil, 0, wrap(getErr)
	case err != nil:
		return nil, 0, wrap(err)
	case len(value) > maxValue:
		return nil, 0, errTooLarge
	}
	return value, max(pttl.Val(), 0), nil // less than 0: it was kept without an end, or has just ended
}

// Set keeps value under key for ttl.
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > maxValue {
		return errTooLarge
	}
	return wrap(s.client.Set(ctx, s.prefix+key, value, atLeastOne(ttl)).Err())
}

// Add is Set if there is nothing under key, and reports whether there was not.
func (s *Store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error) {
	if len(value) > maxValue {
		return false, errTooLarge
	}
	added, err = s.client.SetNX(ctx, s.prefix+key, value, atLeastOne(ttl)).Result()
	return added, wrap(err)
}

// atLeastOne returns a time that Redis can keep something for. 0 would be for ever.
func atLeastOne(ttl time.Duration) time.Duration { return max(ttl, time.Millisecond) }

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rediscache: %w", err)
}
