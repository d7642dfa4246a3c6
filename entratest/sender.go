// SPDX-License-Identifier: MIT

package entratest

import (
	"bytes"
	"io"
	"net/url"
	"strings"
)

// sentBy is what a request says about its sender, before anything is checked.
type sentBy struct {
	known           bool
	clientID, scope string
}

// lookAhead finds out who sends a request, for faults and throttling that go by
// client. What it reads of the body is put back. It reads all bodies, because
// as long as there is something left of one net/http does not notice that the
// client goes.
func (x *exchange) lookAhead() {
	if x.sent.known {
		return
	}
	x.sent.known = true
	read, err := io.ReadAll(io.LimitReader(x.r.Body, maxBody+1))
	rest := io.Reader(x.r.Body)
	if err != nil {
		rest = failedReader{err}
	}
	r := x.r.WithContext(x.r.Context()) // a copy: the original is net/http's
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), rest), x.r.Body}
	x.r = r

	if x.route.name != endpointToken {
		x.sent.clientID = x.r.URL.Query().Get("client_id")
		return
	}
	// A form with a mistake in it is still somebody's.
	form, _ := url.ParseQuery(string(read))
	x.sent.clientID, x.sent.scope = form.Get("client_id"), form.Get("scope")
	if id, _, ok := parseBasic(x.r.Header.Get("Authorization")); ok {
		x.sent.clientID = id
	}
}

// failedReader repeats the error that ended a body.
type failedReader struct{ err error }

func (f failedReader) Read([]byte) (int, error) { return 0, f.err }

// logSender fills in the record of a request that no handler looks into.
func (x *exchange) logSender(tenant string) {
	x.log.ClientID, x.log.Scope = x.sent.clientID, x.sent.scope
	if isGUID(tenant) {
		x.log.Tenant = tenant
	}
}

// canonicalTenant returns the ID of the tenant that is named, or, if there is
// none, the name in lower case.
func (s *Server) canonicalTenant(name string) string {
	name = strings.ToLower(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tenants[name]; t != nil {
		return t.id
	}
	return name
}
