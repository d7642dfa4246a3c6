// SPDX-License-Identifier: MIT

package apponly

import (
	"errors"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/netfault"
	"github.com/apponly/apponly/internal/sharedcache"
	"github.com/apponly/apponly/internal/tokencache"
)

// sharer returns what shares the tokens of a source with other processes, nil if nothing
// is shared. Only what Entra is asked for is: which identity an Azure SDK credential
// stands for is not known.
func (c *Cache) sharer(s *entraSource) tokencache.Sharer {
	if c.fleet == nil {
		return nil
	}
	capability := ""
	if s.cp1 {
		capability = "cp1"
	}
	return &sharedcache.Client{Cache: c.fleet, Terms: terms{}, About: []string{s.cloud.Authority(), s.clientID, capability}}
}

// terms tell the shared cache of Entra's tokens and refusals.
type terms struct{}

// Ahead implements sharedcache.Terms by what answers of Entra have told.
func (terms) Ahead(state any) time.Duration {
	skew, _ := state.(*credentialState).skew.now()
	return skew
}

// Grant implements sharedcache.Terms. Whoever has a key may have sealed anything.
func (terms) Grant(bearer string, received clock.Instant, lifetime, refreshIn time.Duration) tokencache.Grant {
	value, ok := strings.CutPrefix(bearer, bearerPrefix)
	if !ok {
		return tokencache.Grant{}
	}
	return newGrant(value, received, min(lifetime, maxLifetime), refreshIn)
}

// Refusal implements sharedcache.Terms. An answer that was not Entra's has a reason; it
// may come from a proxy that is not everybody's.
func (terms) Refusal(err error) (sharedcache.Refusal, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.reason != "" {
		return sharedcache.Refusal{}, false
	}
	r := recoveryFor(e)
	return sharedcache.Refusal{Kind: string(e.Kind), Code: e.Code, Passing: r.retrySoon, RetryAt: e.RetryAt}, r.fleet
}

// Failure implements sharedcache.Terms.
func (terms) Failure(r sharedcache.Refusal) (error, bool) {
	e := &Error{Kind: Kind(r.Kind), Code: r.Code, RetryAt: r.RetryAt, Remembered: true, reason: "so another process was told, says the shared cache"}
	return e, kinds[e.Kind].recovery.fleet
}

// Note implements sharedcache.Terms.
func (terms) Note(note any, n sharedcache.Notice, err error) any {
	changes, _ := note.([]Event)
	ev, kind := Event{Kind: EventSharedUnavailable}, ErrTransient
	if n == sharedcache.Rejected {
		ev.Kind, kind = EventSharedRejected, ErrConfiguration
	}
	if err != nil {
		ev.Err = sharedFault(kind, err)
	}
	return append(changes, ev)
}

// sharedFault makes an error fit to be told of. A store has seen nothing that is secret,
// so that its words may be shown; what else its error holds is not kept.
func sharedFault(kind Kind, err error) error {
	if local, ok := errors.AsType[*localError](err); ok {
		return local
	}
	_, cause := netfault.Describe(err)
	return &localError{kind: kind, text: "apponly: CacheOptions.Shared: " + ident.OneLine(err.Error(), 200), cause: cause}
}
