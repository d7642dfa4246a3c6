// SPDX-License-Identifier: MIT

package entratest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ServePlain is what listens at StartHTTP.
func (s *Server) ServePlain(w http.ResponseWriter, r *http.Request) { s.servePlain(w, r) }

// RefusalCodes returns the numbers of the table of refusals.
func RefusalCodes() []int { return slices.Sorted(maps.Keys(refusals)) }

// IdentityToken and Revoked are what the endpoints beside Entra are built on.

// IdentityToken returns the AADSTS number of a refusal as code.
func (s *Server) IdentityToken(t *Tenant, clientID, resource string) (signed string, lifetime time.Duration, code int) {
	c := &call{s: s, now: s.Now()}
	signed, lifetime, f := c.identityToken(t, clientID, resource)
	if f != nil {
		return "", 0, f.code
	}
	return signed, lifetime, 0
}

// Revoked is asked about a token of the service principal that is there now.
func (s *Server) Revoked(tid, appID string, issuedAt time.Time) (since time.Time, revoked bool) {
	var objectID string
	s.mu.RLock()
	if t, app := s.tenants[tid], s.apps[appID]; t != nil && app != nil {
		if p := t.principals[app.registration]; p != nil {
			objectID = p.objectID
		}
	}
	s.mu.RUnlock()
	return s.revoked(tid, appID, objectID, issuedAt)
}

// Overtaken is a token request of a client while whose proof is verified the
// directory changes. It returns the AADSTS number of the refusal, 0 for a token.
func (s *Server) Overtaken(t *Tenant, clientID, resource string, change func()) (code int) {
	now := s.Now()
	client, f := s.findApp(t, clientID, now)
	if f == nil {
		change()
		_, f = s.findResource(t, client, s.Cloud(), resource, now)
	}
	if f != nil {
		return f.code
	}
	return 0
}

// Admit is a token request of a client as the throttle sees it. It returns how
// many windows are remembered afterwards.
func (s *Server) Admit(tenant, client string, now time.Time) int {
	s.throttle.admit(windowKey{tenant, client}, now)
	s.throttle.mu.Lock()
	defer s.throttle.mu.Unlock()
	return len(s.throttle.windows)
}

// ProxyRoute is what a proxy does with a request for an address.
func ProxyRoute(secure, plain string, hosts []string, passThrough bool, host, port string) string {
	r := proxyRules{secure, plain, hosts, passThrough}.route(host, port)
	return [...]string{"refuses", "Entra", "metadata", "passes"}[r]
}

// HostCertificates asks for the certificates of n hosts, each by several goroutines at
// once, and returns how many are kept, and how many were made.
func HostCertificates(n int) (kept, made int) {
	h := newHostCertificates(sync.OnceValue(newCertAuthority))
	for i := range n {
		var distinct sync.Map
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { distinct.Store(h.get(strconv.Itoa(i)+".login.microsoft.com"), true) })
		}
		wg.Wait()
		distinct.Range(func(_, _ any) bool { made++; return true })
	}
	return len(h.byHost), made
}
