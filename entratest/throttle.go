// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxPenalty is how long the penalty of a client can become by doubling. It is
// what clients of Microsoft take a Retry-After to be at most.
const maxPenalty = time.Hour

// maxWindows bounds what is remembered of clients. Windows that are over are
// forgotten first; if that is not enough, some clients get a fresh start.
const maxWindows = 100_000

// Throttle lets every client make so many token requests in a time, counted per
// tenant and client ID. One more is answered 429 with a Retry-After and, as by
// Entra, a plain text. A client that comes back before its Retry-After has
// ended makes it start over, doubled each time up to an hour. Requests within 100
// milliseconds of the refusal were under way by then: they are told what is left
// of it, and are no early returns. A client that stays away as it was told starts
// afresh.
//
// In JSON the keys are requests, per and retry_after, durations are written
// "1m".
type Throttle struct {
	Requests   int           // how many are let through, 1 or more
	Per        time.Duration // in which time, from the first one on
	RetryAfter time.Duration // up to an hour, rounded up to seconds; 0 means one minute, as at Entra
}

// SetThrottle turns throttling on for token requests, or off with the zero
// Throttle, which is the default. Earlier requests are forgotten. Time goes by
// the local clock, whatever [Server.SetClockOffset] says. It panics if
// Requests or Per is missing, or RetryAfter is out of its range.
func (s *Server) SetThrottle(t Throttle) { panicIf(s.setThrottle(t)) }

func (s *Server) setThrottle(t Throttle) error {
	err := t.check()
	if err == nil {
		s.throttle.set(t)
	}
	return err
}

func (t *Throttle) check() error {
	switch {
	case *t == Throttle{}:
		return nil
	case t.Requests < 1:
		return fmt.Errorf("throttle: requests is %d, want 1 or more", t.Requests)
	case t.Per <= 0:
		return fmt.Errorf("throttle: per is %v, want more than 0", t.Per)
	case t.RetryAfter < 0 || t.RetryAfter > maxPenalty:
		return fmt.Errorf("throttle: retry_after is %v, want 0 to %v", t.RetryAfter, maxPenalty)
	}
	return nil
}

// penalty is what a client that was good so far has to wait.
func (t *Throttle) penalty() time.Duration {
	if t.RetryAfter == 0 {
		return time.Minute
	}
	return wholeSeconds(t.RetryAfter)
}

// throttler watches the rate. Its lock is held for a look only, but for the
// sweep once in a while.
type throttler struct {
	mu       sync.Mutex
	rule     Throttle
	windows  map[windowKey]*window
	sweepAt  int // how many windows make a sweep worth it
	refused  int
	tooEarly int
}

type windowKey struct{ tenant, client string }

// window is what is remembered of a client.
type window struct {
	end     time.Time // of the window, or of the penalty if there is one
	count   int
	penalty time.Duration // 0 while the client is not refused
	told    time.Time     // when the penalty began
}

// underWay is how long after a penalty began requests come in that were sent
// before the client could know.
const underWay = 100 * time.Millisecond

func (w *window) punish(penalty time.Duration, now time.Time) {
	w.penalty, w.told, w.end = penalty, now, now.Add(penalty)
}

func (t *throttler) set(rule Throttle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rule, t.windows, t.sweepAt = rule, make(map[windowKey]*window), 1000
}

func (t *throttler) get() Throttle {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rule
}

func (t *throttler) counts() (refused, tooEarly int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused, t.tooEarly
}

// admit counts a request. If it is one too many it returns how long the client
// has to stay away, in whole seconds.
func (t *throttler) admit(key windowKey, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rule.Requests == 0 {
		return 0, true
	}
	w := t.windows[key]
	if w == nil {
		t.makeRoom(now)
		w = &window{}
		t.windows[windowKey{strings.Clone(key.tenant), strings.Clone(key.client)}] = w
	}
	if !now.Before(w.end) {
		*w = window{end: now.Add(t.rule.Per)}
	}
	switch {
	case w.penalty == 0 && w.count < t.rule.Requests:
		w.count++
		return 0, true
	case w.penalty == 0:
		w.punish(t.rule.penalty(), now)
	case now.Sub(w.told) >= underWay:
		t.tooEarly++
		w.punish(min(2*w.penalty, maxPenalty), now)
	}
	t.refused++
	return wholeSeconds(w.end.Sub(now)), false
}

// makeRoom forgets the windows that are over, but looks for them only once
// their number has doubled since the last time: a million tenants that each
// come once cost a constant time each.
func (t *throttler) makeRoom(now time.Time) {
	if len(t.windows) < t.sweepAt {
		return
	}
	for key, w := range t.windows {
		if !now.Before(w.end) {
			delete(t.windows, key)
		}
	}
	for key := range t.windows {
		if len(t.windows) <= maxWindows/2 {
			break
		}
		delete(t.windows, key)
	}
	t.sweepAt = min(max(1000, 2*len(t.windows)), maxWindows)
}

// throttled refuses a token request that is one too many.
func (c *call) throttled() (ans answer, over bool) {
	if c.route.name != endpointToken || c.r.Method != http.MethodPost || c.s.throttle.get() == (Throttle{}) {
		return answer{}, false
	}
	c.peekSender()
	if c.sender.clientID == "" {
		return answer{}, false // it is refused for that
	}
	tenant := c.s.canonicalTenant(c.tenant)
	key := windowKey{shorten(tenant, maxRecorded), shorten(strings.ToLower(c.sender.clientID), maxRecorded)}
	wait, ok := c.s.throttle.admit(key, time.Now())
	if ok {
		return answer{}, false
	}
	c.logSender(tenant)
	return answer{
		status: http.StatusTooManyRequests,
		header: map[string]string{"Retry-After": strconv.Itoa(int(wait / time.Second))},
		body:   rawBody{textType, "Too Many Requests"},
	}, true
}
