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
		return &Token{Bearer: func() string { return "Bearer " + value }, Refresh: now.Add(refresh), usable: now.Add(usable), Expires: now.Add(usable + expiryMargin), Received: now.Add(-5 * time.Minute).Wall, claims: claimsID(claims)}
	}
	var (
		none    *Token
		fresh   = token(time.Hour, 2*time.Hour, "a", "")
		stale   = token(-time.Minute, time.Hour, "a", "")
		expired = token(-time.Hour, -time.Second, "a", "")
		staler  = token(-time.Minute, 20*time.Minute, "a", "")
		claimed = token(time.Hour, 2*time.Hour, "c", "{c}")
		twin    = token(time.Hour, 2*time.Hour, "a", "") // the same text as fresh
		other   = token(time.Hour, 2*time.Hour, "b", "")
	)
	ago := func(d time.Duration) clock.Instant { return now.Add(-d) }
	in := func(d time.Duration) clock.Instant { return now.Add(d) }
	// Instants that only one clock has reached: the machine has slept, or the wall
	// clock was set back.
	slept := func(d time.Duration) clock.Instant { return clock.Instant{Wall: now.Wall, Mono: in(d).Mono} }
	setBack := func(d time.Duration) clock.Instant { return clock.Instant{Wall: in(d).Wall, Mono: now.Mono} }
	remembered := errors.New("remembered")
	own, others := claimsID("{c}"), func(n int, b bypass) (all []bypass) {
		for i := range n {
			b.claims = claimsID(fmt.Sprint("{", i, "}"))
			all = append(all, b)
		}
		return all
	}
	var (
		anOrdinary, aBypass, aClaims = &trip{}, &trip{}, &trip{}
		joins                        = map[*trip]string{anOrdinary: "join", aBypass: "join the bypass", aClaims: "join the claims"}

		idle     = entryState{}
		ordinary = entryState{ordinary: anOrdinary}
		bypassed = entryState{plain: bypass{flight: aBypass}}
		claims   = entryState{claims: []bypass{{claims: own, flight: aClaims}}}
		both     = entryState{ordinary: anOrdinary, plain: bypass{flight: aBypass}}
		foreign  = entryState{claims: []bypass{{claims: claimsID("{x}"), flight: aClaims}}}

		refused      = entryState{memory: memory{failures: 1, err: remembered, tryAt: in(time.Second)}}
		refusedFile  = entryState{memory: memory{failures: 1, err: remembered, tryAt: in(time.Second), stamp: "s", statAt: ago(0)}}
		justLooked   = entryState{memory: memory{failures: 1, err: remembered, tryAt: in(time.Second), stamp: "s", statAt: in(time.Second)}}
		tryAgain     = entryState{memory: memory{failures: 1, err: remembered, tryAt: ago(0)}}
		refusedInAir = entryState{ordinary: anOrdinary, memory: memory{failures: 1, err: remembered, tryAt: in(time.Second)}}

		inGap      = entryState{plain: bypass{at: ago(9 * time.Second), gap: 10 * time.Second}}
		gapOver    = entryState{plain: bypass{at: ago(10 * time.Second), gap: 10 * time.Second}}
		wideGap    = entryState{plain: bypass{at: ago(11 * time.Second), gap: 20 * time.Second}}
		serverSays = entryState{plain: bypass{at: ago(time.Hour), gap: 10 * time.Second, err: remembered}, word: serverWord{in(time.Minute), remembered}}
		serverOnly = entryState{word: serverWord{until: in(time.Minute)}}
		broughtIt  = entryState{plain: bypass{at: ago(time.Minute), gap: 20 * time.Second, token: fresh}}
		atTheLimit = entryState{plain: bypass{at: ago(time.Hour), gap: 4 * time.Minute, token: fresh}}
		failed     = entryState{plain: bypass{at: ago(time.Minute), gap: 20 * time.Second, err: remembered}}

		claimsInGap    = entryState{claims: []bypass{{claims: own, at: ago(9 * time.Second), gap: 10 * time.Second}}}
		claimsOver     = entryState{claims: []bypass{{claims: own, at: ago(10 * time.Second), gap: 10 * time.Second}}}
		claimsFailed   = entryState{claims: []bypass{{claims: own, at: ago(time.Second), gap: 10 * time.Second, err: remembered}}}
		claimsBrought  = entryState{claims: []bypass{{claims: own, at: ago(time.Second), gap: 10 * time.Second, token: claimed}}}
		claimsEnded    = entryState{claims: []bypass{{claims: own, at: ago(time.Second), gap: 10 * time.Second, token: expired}}}
		foreignInGap   = entryState{claims: others(1, bypass{at: ago(time.Second), gap: 5 * time.Minute})}
		foreignBrought = entryState{claims: others(1, bypass{at: ago(time.Second), gap: 40 * time.Second, token: fresh})}
		noRoom         = entryState{claims: others(mostClaims, bypass{at: ago(time.Second), gap: 10 * time.Second})}
		roomAgain      = entryState{claims: append(others(mostClaims-1, bypass{at: ago(time.Second), gap: time.Minute}), bypass{claims: claimsID("{x}"), at: ago(time.Minute), gap: time.Minute})}
	)
	plain := Ask{}
	keepWarm := Ask{Reason: "keep-warm"}
	rejected := func(t *Token) Ask { return Ask{Rejected: t} }
	challenge := Ask{Claims: "{c}"}
	force := Ask{Force: true}
	lasting := func(d time.Duration) Ask { return Ask{MinValid: d} }

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
		{"a flight is joined", none, ordinary, plain, "join"},
		{"a flight that bypasses the cache is as good", none, bypassed, plain, "join the bypass"},
		{"but not for another's claims", none, claims, plain, "fly (miss)"},
		{"of two flights the ordinary one is joined", none, both, plain, "join"},
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
		{"a try that is under way is joined", none, refusedInAir, plain, "join"},
		{"by whomever it was begun", none, entryState{memory: refused.memory, plain: bypass{flight: aBypass}}, plain, "join the bypass"},
		{"but not for claims", none, entryState{memory: refused.memory, claims: claims.claims}, plain, "refuse"},
		{"keeping warm keeps the pace", none, refused, keepWarm, "refuse"},

		// A resource refused the token.
		{"the refused token is replaced", fresh, idle, rejected(fresh), "fly bypass (rejected), gap 10s"},
		{"by its text, whichever copy it is", fresh, idle, rejected(twin), "fly bypass (rejected), gap 10s"},
		{"another token is the answer", fresh, idle, rejected(other), "serve"},
		{"a stale one that was refused is no answer", stale, idle, rejected(stale), "fly bypass (rejected), gap 10s"},
		{"what was refused has expired: as if none were cached", expired, idle, rejected(expired), "fly (expired)"},
		{"nothing is cached any more", none, idle, rejected(fresh), "fly (miss)"},
		{"a refresh brings another token, too", fresh, ordinary, rejected(fresh), "join"},
		{"all who were refused share one flight", fresh, bypassed, rejected(fresh), "join the bypass"},
		{"ten seconds apart", fresh, inGap, rejected(fresh), "serve"},
		{"and no longer", fresh, gapOver, rejected(fresh), "fly bypass (rejected), gap 10s"},
		{"more while what it brings is refused in turn", fresh, broughtIt, rejected(fresh), "fly bypass (rejected), gap 40s"},
		{"five minutes at most", fresh, atTheLimit, rejected(fresh), "fly bypass (rejected), gap 5m0s"},
		{"more while nothing is brought", fresh, failed, rejected(fresh), "fly bypass (rejected), gap 40s"},
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
		{"challenges at once share one flight", fresh, claims, challenge, "join the claims"},
		{"in the gap the cached token is the answer", fresh, claimsInGap, challenge, "serve"},
		{"refreshed, if that is due", stale, claimsInGap, challenge, "serve and refresh (stale)"},
		{"or what the last one for these claims brought", fresh, claimsBrought, challenge, "serve what the claims brought"},
		{"unless that was refused, too", fresh, claimsBrought, Ask{Claims: "{c}", Rejected: claimed}, "serve"},
		{"or has ended", fresh, claimsEnded, challenge, "serve"},
		{"also without another token", none, claimsBrought, challenge, "serve what the claims brought"},
		{"without one, what the last challenge came to", none, claimsFailed, challenge, "refuse"},
		{"or an ordinary request", none, claimsInGap, challenge, "fly (miss)"},
		{"the gap is over", fresh, claimsOver, challenge, "fly bypass (claims), gap 10s"},
		{"claims never asked for need not wait for others'", fresh, foreignInGap, challenge, "fly bypass (claims), gap 10s"},
		{"nor for a rejection's gap", fresh, inGap, challenge, "fly bypass (claims), gap 10s"},
		{"nor for another's flight", fresh, foreign, challenge, "fly bypass (claims), gap 10s"},
		{"without a token neither", none, foreignInGap, challenge, "fly bypass (claims), gap 10s"},
		{"but only so many are remembered", fresh, noRoom, challenge, "serve"},
		{"also without a token", none, noRoom, challenge, "fly (miss)"},
		{"until the gap of one is over", fresh, roomAgain, challenge, "fly bypass (claims), gap 10s"},
		{"the gap grows if the token came by other claims", fresh, foreignBrought, Ask{Claims: "{c}", Rejected: fresh}, "fly bypass (claims), gap 1m20s"},
		{"a rejection joins a flight for claims", fresh, foreign, rejected(fresh), "join the claims"},
		{"and is ten seconds apart from one", fresh, claimsInGap, rejected(fresh), "serve"},
		{"however wide the claims' gap has grown", fresh, entryState{claims: others(1, bypass{at: ago(11 * time.Second), gap: time.Hour})}, rejected(fresh), "fly bypass (rejected), gap 10s"},
		{"the server said when", none, serverSays, challenge, "refuse"},
		{"and nothing is remembered of it", none, serverOnly, challenge, "fly (miss)"},

		// Force.
		{"a fresh token does not stop it", fresh, idle, force, "fly bypass (forced), gap 10s"},
		{"nor does a remembered refusal", none, refused, force, "fly bypass (forced), gap 10s"},
		{"once in ten seconds, with a token", fresh, inGap, force, "serve"},
		{"however wide the gap for rejections has grown", fresh, wideGap, force, "fly bypass (forced), gap 10s"},
		{"once in ten seconds, without one", none, inGap, force, "fly (miss)"},
		{"where a refusal is remembered", none, entryState{memory: refused.memory, plain: inGap.plain}, force, "refuse"},
		{"a flight is joined rather than begun", fresh, ordinary, force, "join"},
		{"the gap does not grow by it", fresh, broughtIt, force, "fly bypass (forced), gap 10s"},
		{"a server's word holds for it, too", fresh, serverSays, force, "serve"},
		{"and its refusal, without a token", none, serverSays, force, "refuse"},
		{"the gap does not grow by failures", fresh, failed, force, "fly bypass (forced), gap 10s"},

		// A token with so much left.
		{"one that lasts is served", fresh, idle, lasting(time.Hour), "serve"},
		{"to the second", fresh, idle, lasting(2*time.Hour + expiryMargin), "serve"},
		{"one that does not is replaced", fresh, idle, lasting(2*time.Hour + expiryMargin + 1), "fly bypass (stale), gap 10s, else what there is"},
		{"one that lasts and is stale is refreshed behind", stale, idle, lasting(time.Minute), "serve and refresh (stale)"},
		{"a refresh brings one", staler, ordinary, lasting(time.Hour), "join, else what there is"},
		{"and a bypass", staler, bypassed, lasting(time.Hour), "join the bypass, else what there is"},
		{"none is cached", none, idle, lasting(time.Hour), "fly (miss)"},
		{"none, and a refusal is remembered", none, refused, lasting(time.Hour), "refuse"},
		{"in the gap a shorter one is the answer", fresh, inGap, lasting(3 * time.Hour), "serve"},
		{"refreshed, if that is due", staler, inGap, lasting(time.Hour), "serve and refresh (stale)"},
		{"the gap grows while what comes is too short", fresh, broughtIt, lasting(3 * time.Hour), "fly bypass (stale), gap 40s, else what there is"},
		{"not if it did last when it came", fresh, broughtIt, lasting(2*time.Hour + time.Minute), "fly bypass (stale), gap 10s, else what there is"},
		{"a server's word holds for it, too", fresh, serverSays, lasting(3 * time.Hour), "serve"},
		{"a token for claims is none the worse", claimed, idle, lasting(time.Hour), "serve"},
		{"another than the refused one has to last as well", other, idle, Ask{Rejected: fresh, MinValid: 3 * time.Hour}, "fly bypass (rejected), gap 10s, else what there is"},
		{"what was refused is no answer, however long it lasts", fresh, idle, Ask{Rejected: fresh, MinValid: time.Minute}, "fly bypass (rejected), gap 10s"},

		// Either clock ends what is remembered.
		{"a refusal, after a sleep", none, entryState{memory: memory{failures: 1, err: remembered, tryAt: slept(8 * time.Hour)}}, plain, "fly (miss)"},
		{"a refusal, with the wall clock set back", none, entryState{memory: memory{failures: 1, err: remembered, tryAt: setBack(8 * time.Hour)}}, plain, "fly (miss)"},
		{"a failed refresh's pause", stale, entryState{memory: memory{failures: 1, err: remembered, tryAt: slept(time.Hour)}}, plain, "serve and refresh (stale)"},
		{"the pause between looks at files", none, entryState{memory: memory{failures: 1, err: remembered, tryAt: in(time.Hour), stamp: "s", statAt: slept(time.Second)}}, plain, "look again"},
		{"a bypass's gap", fresh, entryState{plain: bypass{at: slept(-time.Second), gap: time.Second}}, rejected(fresh), "fly bypass (rejected), gap 10s"},
		{"a server's word", fresh, entryState{word: serverWord{slept(time.Hour), remembered}}, rejected(fresh), "fly bypass (rejected), gap 10s"},
		{"claims' gap", fresh, entryState{claims: []bypass{{claims: own, at: setBack(-time.Minute), gap: time.Minute}}}, challenge, "fly bypass (claims), gap 10s"},
	} {
		t.Run(row.what, func(t *testing.T) {
			d := decide(now, row.token, row.state, row.ask)
			got := d.text(joins)
			if d.step == serve && d.token != row.token {
				got += " what the claims brought"
			}
			if got != row.want {
				t.Errorf("decide = %s, want %s", got, row.want)
			}
			if serves := d.step == serve || d.step == serveAndRefresh; serves != (d.token != nil) || serves && d.token != row.token && d.token != claimed {
				t.Errorf("decide: token %v", d.token)
			}
			if refuses := d.step == refuse || d.step == lookAgain; refuses && d.err != remembered || !refuses && d.err != nil {
				t.Errorf("decide: error %v", d.err)
			}
		})
	}
}

func (d decision) text(joins map[*trip]string) string {
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
	s := joins[d.join]
	if d.join == nil {
		s = "fly"
		if d.bypass {
			s += " bypass"
		}
		s += fmt.Sprintf(" (%s)", d.reason)
		if d.gap > 0 {
			s += fmt.Sprintf(", gap %s", d.gap)
		}
	}
	if d.fallback != nil {
		s += ", else what there is"
	}
	return s
}
