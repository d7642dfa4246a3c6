// SPDX-License-Identifier: MIT

package entratest

import (
	"sync"
	"time"
)

// maxRequests bounds the record: an emulator that runs for days beside a
// daemon must not grow.
const maxRequests = 10_000

// maxRecorded bounds each text of a request that is kept.
const maxRecorded = 256

// Request is one request that the emulator answered. It holds no secret,
// assertion or token: what the query, the headers and the body held otherwise
// is not kept.
type Request struct {
	Time       time.Time
	Method     string
	Host       string
	Path       string
	Tenant     string // ID of the tenant; if there is none, what the path had in its place
	ClientID   string // as sent, if it is a GUID: a secret sent in its place is not kept
	Scope      string
	AuthMethod string // "secret", "secret_basic", "certificate", "federated", or "" if it did not come to that
	Status     int    // HTTP status of the answer
	Code       int    // AADSTS number of the answer, 0 if it was no refusal
}

// Requests returns what was asked so far, oldest first; of a long run the last
// 10,000 requests. A request is in it before its answer is out.
func (s *Server) Requests() []Request { return s.requests.list() }

// TokenRequests returns how many POST requests to token endpoints there were so
// far, refused ones included.
func (s *Server) TokenRequests() int {
	s.requests.mu.Lock()
	defer s.requests.mu.Unlock()
	return s.requests.tokens
}

// requestLog is a ring; next is where the oldest entry is once it is full.
type requestLog struct {
	mu     sync.Mutex
	ring   []Request
	next   int
	tokens int
}

func (l *requestLog) add(r Request, isToken bool) {
	for _, p := range []*string{&r.Method, &r.Host, &r.Path, &r.Tenant, &r.Scope} {
		*p = shorten(*p, maxRecorded)
	}
	if !isGUID(r.ClientID) {
		r.ClientID = ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if isToken {
		l.tokens++
	}
	if len(l.ring) < maxRequests {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.next] = r
	l.next = (l.next + 1) % maxRequests
}

func (l *requestLog) list() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, 0, len(l.ring))
	out = append(out, l.ring[l.next:]...)
	return append(out, l.ring[:l.next]...)
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	// A clone: a slice would keep the whole text alive.
	return string([]byte(s[:n])) + "…"
}
