// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// maxPenalty is how long the penalty of a client can become by doubling.
// Microsoft's clients take no Retry-After for longer than that.
const maxPenalty = time.Hour

// maxWindows bounds how many clients are remembered. Windows that are over are
// forgotten first; if that is not enough, some clients start afresh.
const maxWindows = 100_000

// Throttle limits the token requests of every client, counted by tenant and
// client ID. One more is answered 429 with a Retry-After and, as by Entra, a plain
// text. A client that comes back before its Retry-After has ended makes it start
// over, doubled each time up to an hour. Requests within 100 milliseconds of the
// refusal were sent before the client could know: their Retry-After is what is
// left, and they are no early returns. A client that stays away for as long as it
// was told starts afresh.
//
// In JSON the keys are requests, per and retry_after, and durations are written
// "1m".
type Throttle struct {
	Requests   int           // how many are let through in the time Per, 1 or more
	Per        time.Duration // from the first one on
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

// penalty is how long a client has to wait that had no penalty so far.
func (t *Throttle) penalty() time.Duration {
	if t.RetryAfter == 0 {
		return time.Minute
	}
	return wholeSeconds(t.RetryAfter)
}

// throttler applies a Throttle.
type throttler struct {
	changed func() // called without the lock

	mu       sync.Mutex
	rule     Throttle
	windows  map[windowKey]*window
	sweepAt  int // at how many windows those that are over are forgotten
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

// underWay is how long after the start of a penalty there are requests that the
// client sent before it could know.
const underWay = 100 * time.Millisecond

func (w *window) punish(penalty time.Duration, now time.Time) {
	w.penalty, w.told, w.end = penalty, now, now.Add(penalty)
}

func (t *throttler) set(rule Throttle) {
	defer t.changed()
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

// makeRoom forgets the windows that are over. It looks for them only once their
// number has doubled, so that a request costs a constant time on average.
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
	rule := c.s.throttle.get()
	c.log.Comparisons = []Comparison{{What: "throttle", Sent: "one more", Want: []string{fmt.Sprintf("%d requests in %v, again after %v", rule.Requests, rule.Per, wait)}}}
	return answer{
		status: http.StatusTooManyRequests,
		body:   rawBody{textType, "Too Many Requests"},
	}.with("Retry-After", strconv.Itoa(int(wait/time.Second))), true
}

// sender is who a request says it is from, before anything is checked.
type sender struct {
	clientID, scope string
}

// peekSender finds out who a request is from, for faults and throttling by client.
// It reads the body at all endpoints: as long as there is something left of it,
// net/http does not notice that the client leaves.
func (c *call) peekSender() {
	body, _ := c.body()
	if c.route.name != endpointToken {
		c.sender.clientID = c.r.URL.Query().Get("client_id")
		return
	}
	form, _ := url.ParseQuery(string(body)) // one with a mistake may say it all the same
	c.sender.clientID, c.sender.scope = form.Get("client_id"), askedScope(form)
	if id, _, ok := parseBasic(c.r.Header.Get("Authorization")); ok {
		c.sender.clientID = id
	}
}

// logSender fills in the record of a request that no handler looks into.
func (c *call) logSender(tenant string) {
	c.log.ClientID, c.log.Scope = c.sender.clientID, c.sender.scope
	if ident.IsGUID(tenant) {
		c.log.Tenant = tenant
	}
}
