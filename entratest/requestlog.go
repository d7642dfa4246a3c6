// SPDX-License-Identifier: MIT

package entratest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// maxRequests bounds the record: an emulator that runs for days beside a
// daemon must not grow.
const maxRequests = 10_000

// maxRecorded bounds each text of a request that is kept.
const maxRecorded = 256

// hidden replaces in a path what cannot be a tenant's name.
const hidden = "(hidden)"

// Request is one request that the emulator answered. It holds no secret,
// assertion or token: nothing else of the query, the headers and the body is kept,
// nor anything in a wrong place, such as a secret that was sent as the scope.
type Request struct {
	Time       time.Time `json:"time"`
	Method     string    `json:"method"`
	Host       string    `json:"host"`
	Path       string    `json:"path"`                 // with "(hidden)" in place of what cannot be a tenant's name
	Tenant     string    `json:"tenant,omitzero"`      // ID of the tenant; if there is none, what the path had in its place, if it is a tenant's name
	ClientID   string    `json:"client_id,omitzero"`   // as sent, if it is a GUID; of a key document, the appid
	Scope      string    `json:"scope,omitzero"`       // as sent, if everything in it begins with a URL, a host or a GUID, or is a scope of OpenID Connect
	AuthMethod string    `json:"auth_method,omitzero"` // "secret", "secret_basic", "certificate", "federated", or "" if it did not come to that
	Status     int       `json:"status"`               // HTTP status of the answer, 0 if a fault suppressed it
	Code       int       `json:"code,omitzero"`        // AADSTS number of the answer, 0 if it was no refusal
	Fault      string    `json:"fault,omitzero"`       // what a [Fault] did to it: "delay 2s, status 503", "hang"; "" if there was none

	// Comparisons say why it was answered so: with which credential the client has proved
	// who it is, and the comparison that failed if it was refused for one. At most eight; of
	// a long list of what would have matched the first few. They are not to be changed.
	Comparisons []Comparison `json:"comparisons,omitzero"`
}

// Requests returns the last 10,000 requests, oldest first. A request is recorded
// before its answer is sent, and after the delay of a fault. Those to the admin
// path are not recorded.
func (s *Server) Requests() []Request { return s.requests.list() }

// TokenRequests returns how many POST requests to token endpoints there were so
// far, those included that were refused or met a fault.
func (s *Server) TokenRequests() int {
	s.requests.mu.Lock()
	defer s.requests.mu.Unlock()
	return s.requests.tokens
}

// Counters are sums over all requests since the emulator was made, except those
// to the admin path. They have JSON keys of the same names in lower case, with
// underscores.
type Counters struct {
	Requests     int            `json:"requests"`
	Endpoints    map[string]int `json:"endpoints"`     // by endpoint, named as for [Fault]; "" counts paths where nothing is served
	Statuses     map[int]int    `json:"statuses"`      // by HTTP status; 0 counts those that a fault suppressed
	Codes        map[int]int    `json:"codes"`         // by AADSTS number
	Faults       int            `json:"faults"`        // requests that met a fault
	Throttled    int            `json:"throttled"`     // requests that [Server.SetThrottle] refused
	EarlyReturns int            `json:"early_returns"` // those of them that came before their Retry-After had ended, see [Throttle]
}

// Counters returns a copy of the sums so far.
func (s *Server) Counters() Counters {
	c := s.requests.sums()
	c.Throttled, c.EarlyReturns = s.throttle.counts()
	return c
}

// requestLog is a ring; next is where the oldest entry is once it is full.
type requestLog struct {
	mu       sync.Mutex
	ring     []Request
	next     int
	tokens   int
	counters Counters // without those of the throttler
	refusals int      // requests that [Request.refused] is true of
	watchers []chan struct{}
}

// add records a request to an endpoint. inTenant is what its path has in the place
// of a tenant.
func (l *requestLog) add(r Request, endpoint, inTenant string) {
	if inTenant != "" && !isTenantName(inTenant) && !strings.EqualFold(inTenant, "consumers") {
		if r.Path = strings.Replace(r.Path, inTenant, hidden, 1); endpoint == "" {
			r.Path = "/" + hidden // what follows may be the rest of it
		}
		if r.Tenant == inTenant {
			r.Tenant = ""
		}
	}
	if !looksLikeScope(r.Scope) {
		r.Scope = ""
	}
	if !ident.IsGUID(r.ClientID) {
		r.ClientID = ""
	}
	for _, p := range []*string{&r.Method, &r.Host, &r.Path, &r.Tenant, &r.ClientID, &r.Scope} {
		// A clone, because these are slices of the body and of the request line, and
		// would keep them alive with the secrets in them.
		*p = strings.Clone(shorten(*p, maxRecorded))
	}
	r.Comparisons = kept(r.Comparisons)
	l.mu.Lock()
	defer l.mu.Unlock()
	if endpoint == endpointToken && r.Method == http.MethodPost {
		l.tokens++
	}
	l.counters.add(&r, endpoint)
	if r.refused() {
		l.refusals++
	}
	l.wake()
	if len(l.ring) < maxRequests {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.next] = r
	l.next = (l.next + 1) % maxRequests
}

// add counts a request. The maps stay small: endpoints, statuses and codes are
// ours, not the client's.
func (c *Counters) add(r *Request, endpoint string) {
	c.Requests++
	c.Endpoints[endpoint]++
	c.Statuses[r.Status]++
	if r.Code != 0 {
		c.Codes[r.Code]++
	}
	if r.Fault != "" {
		c.Faults++
	}
}

func (l *requestLog) sums() Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counters
	c.Endpoints, c.Statuses, c.Codes = maps.Clone(c.Endpoints), maps.Clone(c.Statuses), maps.Clone(c.Codes)
	return c
}

// refused returns how many requests were refused so far.
func (l *requestLog) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusals
}

func (l *requestLog) list() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(append([]Request{}, l.ring[l.next:]...), l.ring[:l.next]...) // never nil: it is [] in JSON
}

// looksLikeScope reports whether a scope can be kept. A secret that was sent in its
// place does not look like one.
func looksLikeScope(scope string) bool {
	for s := range strings.FieldsSeq(scope) {
		if !looksLikeResource(s) && !looksLikeResource(s[:max(strings.LastIndex(s, "/"), 0)]) && !slices.Contains(oidcScopes, s) {
			return false
		}
	}
	return true
}

func looksLikeResource(name string) bool {
	if u, err := url.Parse(name); err == nil && u.Scheme != "" && u.Host != "" && u.User == nil && u.RawQuery == "" {
		return true
	}
	return ident.IsGUID(name) || ident.IsDomain(name)
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	// A copy, because a slice would keep the whole text alive.
	return string([]byte(s[:n])) + "…"
}
