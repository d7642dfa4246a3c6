// SPDX-License-Identifier: MIT

package health

import (
	"fmt"
	"time"

	"github.com/apponly/apponly"
)

// soon is when the end of a credential is a reason to look.
const soon = 14 * 24 * time.Hour

// tokenFacts tell of the credential that ends first, and of the clock that is off most.
func tokenFacts(all []apponly.TokenStatus, now time.Time) []fact {
	var ends time.Time
	var skew time.Duration
	answered := false
	for _, s := range all {
		if t := s.CredentialExpiresOn; !t.IsZero() && (ends.IsZero() || t.Before(ends)) {
			ends = t
		}
		if s.ClockSkew.Abs() > skew.Abs() {
			skew = s.ClockSkew
		}
		answered = answered || !s.LastSuccess.IsZero() && !s.Shared
	}
	credential := fact{Name: "Credential ends", At: moment{ends, now}, Bad: !ends.IsZero() && ends.Sub(now) < soon}
	if ends.IsZero() {
		credential.Value, credential.Note = "not known", "only Entra knows when a secret ends"
	}
	clock := fact{Name: "Clock", Value: "not compared yet"}
	switch {
	case skew > 0:
		clock.Value, clock.Note, clock.Bad = inUnits(skew)+" slow", "compared with Entra's", true
	case skew < 0:
		clock.Value, clock.Note, clock.Bad = inUnits(-skew)+" fast", "compared with Entra's", true
	case answered:
		clock.Value, clock.Note = "right", "compared with Entra's"
	}
	return []fact{credential, clock}
}

func cacheFacts(s apponly.CacheStats) []fact {
	cache := fact{
		Name: "Cache", Value: count(uint64(s.Entries), "entry", "entries"),
		Note: count(s.Exchanges, "token request", "token requests") + ", " + count(s.Evictions, "eviction", "evictions"),
	}
	shared := fact{Name: "Shared cache", Value: "not in use"}
	if s.SharedHits+s.SharedMisses+s.SharedFailures+s.SharedRejected > 0 || s.SharedUnavailable {
		shared.Value = "in use"
		shared.Note = count(s.SharedHits, "hit", "hits") + ", " + count(s.SharedMisses, "miss", "misses") + ", " +
			count(s.SharedFailures, "failure", "failures") + ", " + count(s.SharedRejected, "rejected", "rejected")
		shared.Bad = s.SharedUnavailable
	}
	if s.SharedUnavailable {
		shared.Value = "not available: Entra is asked"
	}
	return []fact{cache, shared}
}

func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
