// SPDX-License-Identifier: MIT

package sharedcache

import (
	"context"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
)

// A visit is one flight's business with the store.
type visit struct {
	*Client
	tokencache.Request
	began   time.Time
	places  []place   // one for each key; none: the store is not used
	failed  bool      // an operation has: the store is left alone
	leads   time.Time // since when we hold the lease, zero if we do not
	leader  time.Time // when the lease was claimed that we wait for
	turns   int       // how often it was another
	notices []notice
}

// A place is where the key of a request lies by one of the keys.
type place struct {
	*key
	token, lease string // names
}

type notice struct {
	what Notice
	err  error
}

// now returns the time by the server's clock.
func (v *visit) now() time.Time { return time.Now().Add(v.Ahead(v.State)) }

// open gets the keys, and reports whether there are any.
func (v *visit) open(ctx context.Context) bool {
	ring, tell, err := v.Cache.ring(ctx)
	if tell {
		v.notices = append(v.notices, notice{Unavailable, err})
	}
	about := append([]string{v.Tenant, v.Scope}, v.About...)
	for _, k := range ring {
		v.places = append(v.places, place{k, k.name("token", about...), k.name("lease", about...)})
	}
	return len(ring) > 0
}

func (v *visit) sealed(name string, r record) []byte {
	k := v.places[0]
	r.claims = k.claimsMAC(v.Claims)
	return k.seal(name, r.encode())
}

// What was found under a name.
type found int

const (
	missing found = iota // nothing, or not to be learned
	opened
	forged // what does not open
)

// get returns what lies under a name at a place.
func (v *visit) get(ctx context.Context, at place, name string) (e entry, _ found) {
	type kept struct {
		value []byte
		left  time.Duration
	}
	got, err := operation(ctx, v, func(ctx context.Context) (got kept, err error) {
		got.value, got.left, err = v.Store.Get(ctx, name)
		return got, err
	})
	if err != nil || len(got.value) == 0 {
		return e, missing
	}
	if len(got.value) <= maxValue {
		if plain, ok := at.open(name, got.value); ok {
			if r, ok := decode(plain); ok {
				return entry{r, got.left}, opened
			}
		}
	}
	if v.reject() {
		v.notices = append(v.notices, notice{Rejected, errRejected})
	}
	return e, forged
}

// set puts a record in place of what is there, and reports whether it did.
func (v *visit) set(ctx context.Context, name string, r record, ttl time.Duration) bool {
	value := v.sealed(name, r)
	if len(value) > maxValue {
		return false
	}
	_, err := operation(ctx, v, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, v.Store.Set(ctx, name, value, ttl)
	})
	return err == nil
}

// operation makes one operation of the store. After one that fails there are no more in
// this flight.
func operation[T any](ctx context.Context, v *visit, do func(context.Context) (T, error)) (result T, err error) {
	if v.failed {
		return result, errBusy
	}
	result, tell, err := operate(ctx, v.Cache, do)
	if tell {
		v.notices = append(v.notices, notice{Unavailable, err})
	}
	v.failed = err != nil
	return result, err
}
