// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
	"pgregory.net/rapid"
)

// Whatever callers ask for, whatever the source answers and however time passes, the
// cache keeps its promises: one flight of a kind for each key, a token whenever there
// is one that is usable, none past its end, the pace and the bounds.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			m := newModel(rt)
			rt.Cleanup(func() { time.Sleep(5 * time.Minute) }) // all flights and callers end
			rt.Repeat(map[string]func(*rapid.T){
				"call":   m.call,
				"answer": m.answer,
				"pass":   m.pass,
				"edge":   m.edge,
				"change": m.change,
				"":       m.check,
			})
			m.check(rt)
		})
	})
}

// A model is what a cache should be doing, in the plainest terms.
type model struct {
	rt     *rapid.T
	cache  *tokencache.Cache
	source *fake
	id     *tokencache.Identity
	roomy  bool // nothing is evicted that could still be used

	mu      sync.Mutex // guards what follows: flights end in goroutines of their own
	keys    map[string]*modelKey
	pending []*modelFlight
	n       int // of tokens
	changed time.Time
	faults  []string
}

// A modelKey is one tenant.
type modelKey struct {
	token   *modelToken
	since   time.Time              // when it came
	known   map[string]*modelToken // all that were issued, by their text
	flying  map[string]int         // by claims
	asked   map[string]time.Time   // when a flight for claims ended last; "" for none
	began   time.Time              // the flight that failed last, which knows the files of then
	failed  time.Time              // what is remembered of failures
	pause   time.Duration
	fails   int
	until   time.Time // when the token ended that was good at the time
	word    time.Time // what a server said to a bypass
	lastOld *tokencache.Token
}

type modelToken struct {
	claims string
	usable time.Time
}

type modelFlight struct {
	tenant, claims string
	before         *modelToken
	answer         chan modelAnswer
}

type modelAnswer struct {
	lifetime time.Duration // 0: a failure
	failure  failure
}

func newModel(rt *rapid.T) *model {
	limit := rapid.SampledFrom([]int{0, 2}).Draw(rt, "limit")
	m := &model{rt: rt, cache: &tokencache.Cache{Max: limit}, roomy: limit == 0, keys: map[string]*modelKey{}}
	m.source = &fake{fetch: m.fetch, observe: m.observe}
	m.id = m.source.identity(m.cache)
	return m
}

func (m *model) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

func (m *model) key(tenant string) *modelKey {
	k := m.keys[tenant]
	if k == nil {
		k = &modelKey{known: map[string]*modelToken{}, flying: map[string]int{}, asked: map[string]time.Time{}}
		m.keys[tenant] = k
	}
	return k
}

// good returns the token if it is usable.
func (k *modelKey) good() *modelToken {
	if k.token != nil && time.Now().Before(k.token.usable) {
		return k.token
	}
	return nil
}

// Every ordinary flight has this reason, so that it is told from the others.
const ordinary = tokencache.Reason("ordinary")

// call asks for a token, in one of all ways.
func (m *model) call(rt *rapid.T) {
	tenants := 3
	if !m.roomy {
		tenants = 6
	}
	name := tenant(rapid.IntRange(1, tenants).Draw(rt, "tenant"))
	view := &tokencache.View{Identity: m.id, Tenant: name}
	a := tokencache.Ask{Scope: "s", Reason: ordinary}
	m.mu.Lock()
	k := m.key(name)
	m.mu.Unlock()
	cached := view.Hit("s")
	kind := rapid.SampledFrom([]string{"plain", "plain", "plain", "force", "rejected", "old", "claims", "claims", "challenge", "long"}).Draw(rt, "kind")
	switch kind {
	case "force":
		a.Force = true
	case "rejected":
		a.Rejected = cached
	case "old":
		a.Rejected = k.lastOld
	case "challenge":
		a.Rejected = cached
		fallthrough
	case "claims":
		a.Claims = rapid.SampledFrom([]string{"{1}", "{2}", "{3}"}).Draw(rt, "claims")
	case "long":
		a.MinValid = rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Minute, 100 * time.Hour}).Draw(rt, "long")
	}
	if cached != nil {
		k.lastOld = cached
	}
	patience := rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second, time.Minute}).Draw(rt, "patience")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	m.mu.Lock()
	good := k.good()
	_, known := k.asked[a.Claims]
	mustFly := m.roomy && kind == "claims" && patience > 0 && !known && k.flying[a.Claims] == 0 && (good == nil || good.claims != a.Claims) && time.Now().After(k.word)
	m.mu.Unlock()
	go func() {
		defer cancel()
		t, err := view.Get(ctx, a)
		m.judge(name, a, t, err, ctx.Err() != nil, good != nil)
	}()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if mustFly && k.flying[a.Claims] == 0 {
		m.fault("%s: claims %s, never asked for before, had to wait", name, a.Claims)
	}
}

// judge checks what a call has come to.
func (m *model) judge(name string, a tokencache.Ask, t *tokencache.Token, err error, ended, wasGood bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.key(name)
	bypass := a.Force || a.Rejected != nil || a.Claims != ""
	switch {
	case (t == nil) == (err == nil):
		m.fault("%s: a token and an error, or neither: %v, %v", name, t, err)
	case t != nil:
		known := k.known[t.Bearer()]
		if known == nil {
			m.fault("%s: a token of another key", name)
		} else if !time.Now().Before(known.usable) {
			m.fault("%s: a token %v past its usable end", name, time.Since(known.usable))
		}
	case errors.Is(err, tokencache.ErrWaiting) && !ended:
		m.fault("%s: %v, and it had not", name, err)
	case m.roomy && !bypass && k.good() != nil && k.since.Before(time.Now()):
		m.fault("%s: %v, and a token came %v ago (asked for %+v)", name, err, time.Since(k.since), a)
	case m.roomy && !bypass && (wasGood && k.good() != nil || k.good() != nil && !ended):
		m.fault("%s: %v, while there is a token (asked for %+v)", name, err, a)
	}
}

// fetch is the source: it answers what the test says, or when its time is up.
func (m *model) fetch(ctx context.Context, req tokencache.Request) (tokencache.Grant, error) {
	f := &modelFlight{tenant: req.Tenant, claims: req.Claims, answer: make(chan modelAnswer)}
	m.mu.Lock()
	k := m.key(req.Tenant)
	f.before = k.token
	k.flying[req.Claims]++
	if most := 1 + map[bool]int{req.Claims == "": 1}[true]; k.flying[req.Claims] > most { // an ordinary one and a bypass
		m.fault("%s: %d flights with claims %q", req.Tenant, k.flying[req.Claims], req.Claims)
	}
	m.pending = append(m.pending, f)
	m.mu.Unlock()
	var a modelAnswer
	select {
	case a = <-f.answer:
	case <-ctx.Done():
		a.failure = failure{text: "time is up", passing: true}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k.flying[req.Claims]--
	for i, p := range m.pending {
		if p == f {
			m.pending = append(m.pending[:i], m.pending[i+1:]...)
			break
		}
	}
	newer := k.good()
	if newer == f.before {
		newer = nil
	}
	if a.lifetime == 0 {
		a.failure.overtaken = newer != nil
		return tokencache.Grant{}, a.failure
	}
	m.n++
	g := granted(fmt.Sprint(m.n), a.lifetime)
	t := &modelToken{req.Claims, time.Now().Add(a.lifetime - min(10*time.Second, a.lifetime/10))}
	k.known[g.Bearer()] = t
	// A newer token stays, unless a resource has asked for this one.
	if newer == nil || newer.claims == "" && t.claims != "" {
		k.token, k.since = t, time.Now()
	}
	k.fails, k.failed = 0, time.Time{}
	return g, nil
}

// answer has the source answer one flight.
func (m *model) answer(rt *rapid.T) {
	m.mu.Lock()
	pending := m.pending
	m.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	f := pending[rapid.IntRange(0, len(pending)-1).Draw(rt, "flight")]
	var a modelAnswer
	switch rapid.SampledFrom([]string{"token", "token", "refusal", "passing", "later"}).Draw(rt, "answer") {
	case "token":
		a.lifetime = rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 24 * time.Hour}).Draw(rt, "lifetime")
	case "refusal":
		a.failure = failure{text: "refused"}
	case "passing":
		a.failure = failure{text: "passing", passing: true}
	case "later":
		a.failure = failure{text: "later", passing: true, after: rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Minute, 100 * time.Hour}).Draw(rt, "after")}
	}
	f.answer <- a
	synctest.Wait()
}

// change has a file of the credential change.
func (m *model) change(*rapid.T) {
	m.changed = time.Now()
	stamp := m.changed.String()
	m.source.stamp.Store(&stamp)
}

// edge lets time pass until about the last usable moment of a token.
func (m *model) edge(rt *rapid.T) {
	name := tenant(rapid.IntRange(1, 3).Draw(rt, "tenant"))
	d := rapid.SampledFrom([]time.Duration{-1, 0, time.Second}).Draw(rt, "and")
	m.mu.Lock()
	if t := m.key(name).token; t != nil {
		d += time.Until(t.usable)
	}
	m.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

// pass lets time pass.
func (m *model) pass(rt *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{
		100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 20 * time.Minute, time.Hour, 25 * time.Hour,
	}).Draw(rt, "for"))
	synctest.Wait()
}

// observe checks the pace of a flight that has ended, and notes what must be kept from
// now on.
func (m *model) observe(f tokencache.Flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, now := m.key(f.Tenant), time.Now()
	if f.Reason == ordinary {
		m.checkOrdinary(k, f)
	} else {
		m.checkBypass(k, f)
		k.asked[f.Claims] = now
	}
	if f.Err == nil {
		return
	}
	failed := f.Err.(failure)
	if f.Reason != ordinary && failed.after > 0 {
		k.word = now.Add(min(failed.after, time.Hour) * 11 / 10)
	}
	good := k.good()
	if failed.overtaken || f.Reason != ordinary && (good != nil || f.Claims != "") {
		return // an ordinary request need not fail
	}
	k.fails++
	k.failed, k.began, k.until = now, f.Began, time.Time{}
	first, limit := 2*time.Second, 5*time.Minute
	switch {
	case good != nil:
		first, k.until = time.Second, good.usable
	case failed.passing:
		first, limit = time.Second, 15*time.Second
	}
	k.pause = max(min(first<<min(k.fails-1, 10), limit)/2, min(failed.after, time.Hour)*9/10)
	if failed.after > 0 {
		k.until = time.Time{}
	}
}

// checkOrdinary checks that nothing was asked before the pause after a failure was
// over.
func (m *model) checkOrdinary(k *modelKey, f tokencache.Flight) {
	if !m.roomy || k.failed.IsZero() || f.Began.Before(k.failed) || !m.changed.Before(k.began) {
		return
	}
	ended := !k.until.IsZero() && !f.Began.Before(k.until) // then callers wait, for whom it is worth a try
	if since := f.Began.Sub(k.failed); since < k.pause && !ended {
		m.fault("%s: asked again %v after failure %d, want %v", f.Tenant, since, k.fails, k.pause)
	}
}

// checkBypass checks that flights that bypass the cache are apart: those for claims
// from each other, those for none from all.
func (m *model) checkBypass(k *modelKey, f tokencache.Flight) {
	for claims, ended := range k.asked {
		since := f.Began.Sub(ended)
		if m.roomy && since > 0 && since < 10*time.Second && (claims == f.Claims || f.Claims == "") {
			m.fault("%s: a bypass for %q, %s, %v after one for %q", f.Tenant, f.Claims, f.Reason, since, claims)
		}
	}
}

// check is what holds at any time.
func (m *model) check(rt *rapid.T) {
	m.mu.Lock()
	for name, k := range m.keys {
		all, _ := (&tokencache.View{Identity: m.id, Tenant: name}).Status()
		for _, st := range all {
			if m.roomy && st.Failures > k.fails {
				m.fault("%s: status shows %d failures, want %d", name, st.Failures, k.fails)
			}
		}
	}
	if n := m.cache.Stats().Entries; n > m.cache.Limit()+len(m.pending) {
		m.fault("%d entries and %d flights, want at most %d and the flights", n, len(m.pending), m.cache.Limit())
	}
	faults := m.faults
	m.mu.Unlock() // rapid ends its checks by panics
	for _, fault := range faults {
		rt.Fatalf("%s", fault)
	}
}
