// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// exchange is one request on its way through the emulator.
type exchange struct {
	s           *Server
	r           *http.Request
	now         time.Time
	base        string // "https://host" as the client spelled it
	trace       string
	correlation string
	log         Request // filled in as things become known
}

// answer is what a request gets. Handlers return it instead of writing it, so
// that the record is complete before the client sees anything.
type answer struct {
	status int
	header map[string]string
	body   any // marshalled to JSON; nil for none
}

// ServeHTTP answers one request. It is for those who bring their own listener;
// it must be reached over https, because every URL it hands out says so.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := s.Now()
	x := &exchange{
		s:           s,
		r:           r,
		now:         now,
		base:        "https://" + canonicalHost(r.Host),
		trace:       newGUID(),
		correlation: r.Header.Get("client-request-id"),
		log:         Request{Time: now, Method: r.Method, Host: r.Host, Path: r.URL.Path},
	}
	if !isGUID(x.correlation) {
		x.correlation = newGUID()
	}

	tenant, endpoint := splitPath(r.URL.Path)
	x.log.Tenant = tenant
	isToken := endpoint == tokenPath
	ans := x.route(tenant, endpoint)
	x.log.Status = ans.status
	s.requests.add(x.log, isToken && r.Method == http.MethodPost)
	x.write(w, ans)
}

// The endpoints, by what follows the tenant in the path.
const (
	tokenPath     = "oauth2/v2.0/token"
	configPathV1  = ".well-known/openid-configuration"
	configPathV2  = "v2.0/.well-known/openid-configuration"
	keysPathV1    = "discovery/keys"
	keysPathV2    = "discovery/v2.0/keys"
	discoveryPath = "discovery/instance"
)

func (x *exchange) route(tenant, endpoint string) answer {
	if endpoint == tokenPath {
		return x.token(tenant)
	}
	var handle func(tenant string) answer
	switch endpoint {
	case configPathV1:
		handle = func(t string) answer { return x.configuration(t, 1) }
	case configPathV2:
		handle = func(t string) answer { return x.configuration(t, 2) }
	case keysPathV1:
		handle = func(t string) answer { return x.keys(t, 1) }
	case keysPathV2:
		handle = func(t string) answer { return x.keys(t, 2) }
	case discoveryPath:
		handle = x.instanceDiscovery
	default:
		return answer{status: http.StatusNotFound}
	}
	if m := x.r.Method; m != http.MethodGet && m != http.MethodHead {
		return answer{status: http.StatusMethodNotAllowed, header: map[string]string{"Allow": "GET, HEAD"}}
	}
	return handle(tenant)
}

// splitPath cuts "/tenant/endpoint". The endpoint is compared without letter
// case, as Entra does.
func splitPath(path string) (tenant, endpoint string) {
	tenant, endpoint, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return tenant, strings.ToLower(endpoint)
}

// canonicalHost makes "HOST:443" and "host" the same, because they are the
// same origin to whoever compares issuers and audiences.
func canonicalHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

// refused turns a refusal into the answer Entra would give.
func (x *exchange) refused(f *refusal) answer {
	x.log.Code = f.code
	stamp := x.now.UTC().Format("2006-01-02 15:04:05Z")
	body := map[string]any{
		"error": f.oauthError(),
		"error_description": f.text() + " Trace ID: " + x.trace +
			" Correlation ID: " + x.correlation + " Timestamp: " + stamp,
		"error_codes":    []int{f.code},
		"timestamp":      stamp,
		"trace_id":       x.trace,
		"correlation_id": x.correlation,
		"error_uri":      x.base + "/error?code=" + strconv.Itoa(f.code),
	}
	maps.Copy(body, f.members())
	return answer{status: f.status(), body: body}
}

func (x *exchange) write(w http.ResponseWriter, ans answer) {
	h := w.Header()
	// net/http would add the date, an in-memory recorder does not; clients
	// measure the skew of their clock by it.
	h.Set("Date", x.now.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-store")
	h.Set("x-ms-request-id", x.trace)
	if strings.EqualFold(x.r.Header.Get("Return-Client-Request-Id"), "true") {
		h.Set("client-request-id", x.correlation)
	}
	for k, v := range ans.header {
		h.Set(k, v)
	}
	if ans.body == nil {
		w.WriteHeader(ans.status)
		return
	}
	body, err := json.Marshal(ans.body)
	if err != nil { // only maps, strings and numbers are ever in it
		panic(err)
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(ans.status)
	if x.r.Method != http.MethodHead {
		w.Write(body) // the client being gone is its own affair
	}
}
