// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/tokencache"
)

// Warm gets the tokens for all scopes at once and returns when all have
// answered or ctx has ended. The errors are joined; each names its scope.
func (c *Client) Warm(ctx context.Context, scopes ...string) error {
	errs := make([]error, len(scopes))
	var wg sync.WaitGroup
	for i, scope := range scopes {
		wg.Go(func() { _, errs[i] = c.Token(ctx, scope) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// KeepWarm refreshes the tokens for scopes when they are due, without traffic
// to cause it, so that the first call after a quiet night waits for nothing. It
// blocks until ctx ends and then returns its error; failures are retried at the
// cache's pace and show in [Client.Status]. It returns at once if a scope is
// not one.
func (c *Client) KeepWarm(ctx context.Context, scopes ...string) error {
	if err := c.check(); err != nil {
		return err
	}
	if ctx == nil {
		return errNilContext
	}
	ctx = flight.Safe(ctx) // it is used in goroutines of ours
	for _, scope := range scopes {
		if err := c.checkScope(scope); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for _, scope := range scopes {
		// Apart, so that a tenant or resource that hangs delays no other.
		wg.Go(func() { c.keepWarm(ctx, scope) })
	}
	<-ctx.Done()
	wg.Wait()
	return ctx.Err()
}

// keepWarm looks once a minute even if nothing is due: the entry may have been
// evicted, or the machine have slept.
func (c *Client) keepWarm(ctx context.Context, scope string) {
	const shortest, longest = time.Second, time.Minute
	for {
		pause := shortest // after a failure; the cache keeps the pace
		if t, err := c.get(ctx, tokencache.Ask{Scope: scope, Reason: tokencache.Reason(ReasonKeepWarm)}); err == nil {
			pause = min(max(time.Until(t.RefreshOn()), shortest), longest)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
