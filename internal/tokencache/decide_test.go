// SPDX-License-Identifier: MIT

package tokencache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// The specification of the cache: what is done about an ask, by the token, the
// flights under way, what is remembered of failures, and the pace of requests
// that bypass the cache.
func TestDecide(t *testing.T) {
	now := clock.Instant{Wall: 1_800_000_000 * int64(time.Second), Mono: 1_000_000 * int64(time.Second)}
	token := func(refresh, usable time.Duration, value string, claims string) *Token {
		return &Token{Bearer: func() string { return "Bearer " + value }, Refresh: now.Add(refresh), usable: now.Add(usable), claims: claimsID(claims)}
	}
	var (
		none    *Token
		fresh   = token(time.Hour, 2*time.Hour, "a", "")
		stale   = token(-time.Minute, time.Hour, "a", "")
		expired = token(-time.Hour, -time.Second, "a", "")
		claimed = token(time.Hour, 2*time.Hour, "c", "{c}")
		twin    = token(time.Hour, 2*time.Hour, "a", "") // the same text as fresh
		other   = token(time.Hour, 2*time.Hour, "b", "")
	)
	ago := func(d time.Duration) int64 { return now.Add(-d).Mono }
	in := func(d time.Duration) int64 { return now.Add(d).Mono }
	remembered := errors.New("remembered")
	var (
		idle     = entryState{}
		ordinary = entryState{ordinary: true}
		bypassed = entryState{bypassing: true}
		claims   = entryState{bypassing: true, bypassClaims: true}
		both     = entryState{ordinary: true, bypassing: true}

		refused      = entryState{memory: memory{failures: 1, err: remembered, tryAt: in(time.Second)}}
		refusedFile  = entryState{memory: memory{failures: 1, err: remembered, tryAt: in(time.Second), stamp: "s", statAt: ago(0)}}
		justLooked   = entryState{memory: memory{failures: 1, err: remembered, tryAt: in(time.Second), stamp: "s", statAt: in(time.Second)}}
		tryAgain     = entryState{memory: memory{failures: 1, err: remembered, tryAt: ago(0)}}
		refusedInAir = entryState{ordinary: true, memory: memory{failures: 1, err: remembered, tryAt: in(time.Second)}}

		inGap       = entryState{bypass: bypass{at: ago(9 * time.Second), gap: 10 * time.Second}}
		gapOver     = entryState{bypass: bypass{at: ago(10 * time.Second), gap: 10 * time.Second}}
		wideGap     = entryState{bypass: bypass{at: ago(11 * time.Second), gap: 20 * time.Second}}
		inGapFailed = entryState{bypass: bypass{at: ago(time.Second), gap: 10 * time.Second, err: remembered}}
		serverSays  = entryState{bypass: bypass{at: ago(time.Hour), gap: 10 * time.Second, notBefore: in(time.Minute), err: remembered}}
		serverOnly  = entryState{bypass: bypass{notBefore: in(time.Minute)}}
		broughtIt   = entryState{bypass: bypass{at: ago(time.Minute), gap: 20 * time.Second, token: fresh}}
		atTheLimit  = entryState{bypass: bypass{at: ago(time.Hour), gap: 4 * time.Minute, token: fresh}}
	)
	plain := Ask{}
	keepWarm := Ask{Reason: "keep-warm"}
	rejected := func(t *Token) Ask { return Ask{Rejected: t} }
	challenge := Ask{Claims: "{c}"}
	force := Ask{Force: true}

	for _, row := range []struct {
		what  string
		token *Token
		state entryState
		ask   Ask
		want  string
	}{
		// An ordinary request, and no trouble.
		{"a fresh token is served", fresh, idle, plain, "serve"},
		{"a stale one is served, and refreshed behind", stale, idle, plain, "serve and refresh (stale)"},
		{"no token: somebody has to ask", none, idle, plain, "fly (miss)"},
		{"nor does one that has expired serve", expired, idle, plain, "fly (expired)"},
		{"keeping warm says so", stale, idle, keepWarm, "serve and refresh (keep-warm)"},
		{"keeping warm says so without a token too", none, idle, keepWarm, "fly (keep-warm)"},
		{"keeping warm does not refresh what is fresh", fresh, idle, keepWarm, "serve"},

		// One flight for each key.
		{"one refresh runs behind a stale token", stale, ordinary, plain, "serve"},
		{"a flight is joined", none, ordinary, plain, "fly (miss)"},
		{"a flight that bypasses the cache is as good", none, bypassed, plain, "fly bypass (miss)"},
		{"but not for another's claims", none, claims, plain, "fly (miss)"},
		{"of two flights the ordinary one is joined", none, both, plain, "fly (miss)"},
		{"a stale token is refreshed beside a bypass", stale, bypassed, plain, "serve and refresh (stale)"},

		// Failures are remembered.
		{"a failed refresh costs a caller nothing", stale, refused, plain, "serve"},
		{"and is tried again in time", stale, tryAgain, plain, "serve and refresh (stale)"},
		{"a refusal is not repeated for every caller", none, refused, plain, "refuse"},
		{"nor once the token has expired", expired, refused, plain, "refuse"},
		{"it is tried again in time", none, tryAgain, plain, "fly (miss)"},
		{"a file that changed ends the memory", none, refusedFile, plain, "look again"},
		{"files are looked at once a second", none, justLooked, plain, "refuse"},
		{"nobody looks at files while a token serves", stale, refusedFile, plain, "serve"},
		{"a try that is under way is joined", none, refusedInAir, plain, "fly (miss)"},
		{"keeping warm keeps the pace", none, refused, keepWarm, "refuse"},

		// A resource refused the token.
		{"the refused token is replaced", fresh, idle, rejected(fresh), "fly bypass (rejected), gap 10s"},
		{"by its text, whichever copy it is", fresh, idle, rejected(twin), "fly bypass (rejected), gap 10s"},
		{"another token is the answer", fresh, idle, rejected(other), "serve"},
		{"a stale one that was refused is no answer", stale, idle, rejected(stale), "fly bypass (rejected), gap 10s"},
		{"what was refused has expired: as if none were cached", expired, idle, rejected(expired), "fly (expired)"},
		{"nothing is cached any more", none, idle, rejected(fresh), "fly (miss)"},
		{"a refresh brings another token, too", fresh, ordinary, rejected(fresh), "fly (rejected)"},
		{"all who were refused share one flight", fresh, bypassed, rejected(fresh), "fly bypass (rejected)"},
		{"ten seconds apart", fresh, inGap, rejected(fresh), "serve"},
		{"and no longer", fresh, gapOver, rejected(fresh), "fly bypass (rejected), gap 10s"},
		{"more while what it brings is refused in turn", fresh, broughtIt, rejected(fresh), "fly bypass (rejected), gap 40s"},
		{"five minutes at most", fresh, atTheLimit, rejected(fresh), "fly bypass (rejected), gap 5m0s"},
		{"another token's refusal begins anew", other, broughtIt, rejected(other), "fly bypass (rejected), gap 10s"},
		{"a server's word holds beyond the gap", fresh, serverSays, rejected(fresh), "serve"},
		{"a remembered refusal answers for a token that is gone", none, refused, rejected(fresh), "refuse"},

		// A claims challenge.
		{"a token is asked for with the claims", fresh, idle, challenge, "fly bypass (claims), gap 10s"},
		{"one that was obtained with them is the answer", claimed, idle, challenge, "serve"},
		{"unless it is the one that was refused", claimed, idle, Ask{Claims: "{c}", Rejected: claimed}, "fly bypass (claims), gap 10s"},
		{"another than the refused one is the answer", other, idle, Ask{Claims: "{c}", Rejected: fresh}, "serve"},
		{"also without a token", none, idle, challenge, "fly bypass (claims), gap 10s"},
		{"a refresh does not carry the claims", fresh, ordinary, challenge, "fly bypass (claims), gap 10s"},
		{"challenges at once share one flight", fresh, claims, challenge, "fly bypass (claims)"},
		{"in the gap the cached token is the answer", fresh, inGap, challenge, "serve"},
		{"without one, what the last challenge came to", none, inGapFailed, challenge, "refuse"},
		{"or an ordinary request", none, inGap, challenge, "fly (miss)"},
		{"the server said when", none, serverSays, challenge, "refuse"},
		{"and nothing is remembered of it", none, serverOnly, challenge, "fly (miss)"},

		// Force.
		{"a fresh token does not stop it", fresh, idle, force, "fly bypass (forced), gap 10s"},
		{"nor does a remembered refusal", none, refused, force, "fly bypass (forced), gap 10s"},
		{"once in ten seconds, with a token", fresh, inGap, force, "serve"},
		{"however wide the gap for rejections has grown", fresh, wideGap, force, "fly bypass (forced), gap 10s"},
		{"once in ten seconds, without one", none, inGap, force, "fly (miss)"},
		{"where a refusal is remembered", none, entryState{memory: refused.memory, bypass: inGap.bypass}, force, "refuse"},
		{"a flight is joined rather than begun", fresh, ordinary, force, "fly (forced)"},
		{"the gap does not grow by it", fresh, broughtIt, force, "fly bypass (forced), gap 10s"},
		{"a server's word holds for it, too", fresh, serverSays, force, "serve"},
		{"and its refusal, without a token", none, serverSays, force, "refuse"},
	} {
		t.Run(row.what, func(t *testing.T) {
			d := decide(now, row.token, row.state, row.ask)
			if got := d.text(); got != row.want {
				t.Errorf("decide = %s, want %s", got, row.want)
			}
			if serves := d.step == serve || d.step == serveAndRefresh; serves != (d.token != nil) || serves && d.token != row.token {
				t.Errorf("decide: token %v", d.token)
			}
			if refuses := d.step == refuse || d.step == lookAgain; refuses && d.err != remembered || !refuses && d.err != nil {
				t.Errorf("decide: error %v", d.err)
			}
		})
	}
}

func (d decision) text() string {
	switch d.step {
	case serve:
		return "serve"
	case serveAndRefresh:
		return fmt.Sprintf("serve and refresh (%s)", d.reason)
	case refuse:
		return "refuse"
	case lookAgain:
		return "look again"
	}
	s := "fly"
	if d.bypass {
		s += " bypass"
	}
	s += fmt.Sprintf(" (%s)", d.reason)
	if d.gap > 0 {
		s += fmt.Sprintf(", gap %s", d.gap)
	}
	return s
}
