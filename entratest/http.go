// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// call is one request while the emulator works on it.
type call struct {
	s           *Server
	r           *http.Request
	now         time.Time
	base        string // scheme and host as the client spelled them
	route       route  // the zero one if nothing is served there
	tenant      string // what the path has in a tenant's place
	sender      sender // empty until faults or throttling have looked
	trace       string
	correlation string
	log         Request // filled in as things become known

	// body reads the request's body, once; of one that is too large, a byte more
	// than maxBody.
	body func() ([]byte, error)
}

// answer is what a request gets. Handlers return it instead of writing it, so
// that the record is complete before the client sees anything.
type answer struct {
	status int // 0: none, the connection fails before that
	header map[string]string
	body   any    // marshalled to JSON, unless it is a rawBody; nil for none
	broken string // how the connection fails while it is sent: a Fault.Connection
	reason string // for the record, what is wrong with a request if that is no AADSTS number; ours
}

func (a answer) with(header, value string) answer {
	if a.header == nil {
		a.header = make(map[string]string)
	}
	a.header[header] = value
	return a
}

const (
	jsonType = "application/json; charset=utf-8"
	textType = "text/plain; charset=utf-8"
)

// rawBody is a body that is sent as it is.
type rawBody struct{ contentType, text string }

// ServeHTTP answers one request to the token service, for programs that have a
// listener of their own. It must be reached over https, because every URL it
// hands out says so. What real machines serve over plain http is not here but at
// [Server.StartHTTP].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.isAdmin(r.URL.Path) {
		s.serveAdmin(w, r)
		return
	}
	s.serve(w, r, false)
}

// servePlain is ServeHTTP for what is reached over plain http.
func (s *Server) servePlain(w http.ResponseWriter, r *http.Request) { s.serve(w, r, true) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request, plain bool) {
	c := s.receive(r, plain)
	var ans answer
	if f, ok := c.findFault(); ok {
		c.log.Fault = f.summary()
		ans = c.inject(f)
	} else {
		ans = c.respond()
	}
	c.log.Status = ans.status
	if ans.reason != "" && c.log.Code == 0 {
		c.log.Comparisons = append(c.log.Comparisons, Comparison{What: "request", Sent: ans.reason})
	}
	s.requests.add(c.log, c.route.name, c.tenant)
	c.deliver(w, ans)
}

func (s *Server) receive(r *http.Request, plain bool) *call {
	now := s.Now()
	c := &call{
		s:           s,
		r:           r,
		now:         now,
		base:        "https://" + canonicalHost(r.Host),
		trace:       ident.NewGUID(),
		correlation: r.Header.Get("client-request-id"),
		log:         Request{Time: now, Method: r.Method, Host: r.Host, Path: r.URL.Path},
	}
	c.body = sync.OnceValues(func() ([]byte, error) { return io.ReadAll(io.LimitReader(r.Body, maxBody+1)) })
	if plain {
		c.base = "http://" + r.Host
	}
	if !ident.IsGUID(c.correlation) {
		c.correlation = ident.NewGUID()
	}
	c.route, c.tenant = findRoute(r.URL.Path, plain)
	c.log.Tenant = c.tenant
	return c
}

// respond returns the right answer, as if there were no faults.
func (c *call) respond() answer {
	if c.route.handle == nil && c.isResourceManager() {
		return c.resourceManagement("")
	}
	if c.route.handle == nil {
		return answer{status: http.StatusNotFound}
	}
	if m := c.r.Method; c.route.read && m != http.MethodGet && m != http.MethodHead {
		return methodNotAllowed("GET, HEAD", nil)
	}
	if ans, over := c.throttled(); over {
		return ans
	}
	return c.route.handle(c, c.tenant)
}

func methodNotAllowed(allow string, body any) answer {
	return answer{status: http.StatusMethodNotAllowed, body: body}.with("Allow", allow)
}

// canonicalHost makes "HOST:443" and "host" the same, because clients that compare
// issuers and audiences take them for the same origin.
func canonicalHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

// refused turns a refusal into the answer Entra would give.
func (c *call) refused(f *refusal) answer {
	c.note(f)
	body := map[string]any{
		"error":             f.oauth,
		"error_description": c.describe(f),
		"error_codes":       []int{f.code},
		"timestamp":         c.stamp(),
		"trace_id":          c.trace,
		"correlation_id":    c.correlation,
	}
	if !slices.Contains(noURI, f.code) {
		body["error_uri"] = c.errorURI(f)
	}
	maps.Copy(body, f.members())
	return answer{status: f.status, body: body}
}

// describe is the text of a refusal, with what a support case asks for.
func (c *call) describe(f *refusal) string {
	return f.description() + " Trace ID: " + c.trace + " Correlation ID: " + c.correlation + " Timestamp: " + c.stamp()
}

func (c *call) stamp() string { return c.now.UTC().Format("2006-01-02 15:04:05Z") }

func (c *call) errorURI(f *refusal) string { return c.base + "/error?code=" + strconv.Itoa(f.code) }

// write sends an answer; of the body of a broken one only the first half.
func (c *call) write(w http.ResponseWriter, ans answer) {
	h := w.Header()
	// net/http would add the date, an in-memory recorder does not; clients
	// measure the skew of their clock by it.
	h.Set("Date", c.now.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-store")
	h.Set("x-ms-request-id", c.trace)
	if strings.EqualFold(c.r.Header.Get("Return-Client-Request-Id"), "true") {
		h.Set("client-request-id", c.correlation)
	}
	for k, v := range ans.header {
		h.Set(k, v)
	}
	if ans.body == nil {
		w.WriteHeader(ans.status)
		return
	}
	body := ans.encode(h)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(ans.status)
	if ans.broken != "" {
		body = body[:len(body)/2]
	}
	if c.r.Method != http.MethodHead {
		w.Write(body) // an error is that the client has left
	}
}

// encode returns the bytes of the body, and sets their Content-Type.
func (a answer) encode(h http.Header) []byte {
	if raw, ok := a.body.(rawBody); ok {
		h.Set("Content-Type", raw.contentType)
		return []byte(raw.text)
	}
	body, err := json.Marshal(a.body)
	if err != nil { // whatever the emulator answers can be marshalled
		panic(err)
	}
	h.Set("Content-Type", jsonType)
	return body
}

// The endpoints, by what follows the tenant in the path.
const (
	tokenPath     = "oauth2/v2.0/token"
	tokenPathV1   = "oauth2/token"
	configPathV1  = ".well-known/openid-configuration"
	configPathV2  = "v2.0/.well-known/openid-configuration"
	keysPathV1    = "discovery/keys"
	keysPathV2    = "discovery/v2.0/keys"
	discoveryPath = "discovery/instance"
	consentPathV1 = "adminconsent"
	consentPathV2 = "v2.0/adminconsent"
)

// route is an endpoint.
type route struct {
	// name is what Fault.Endpoint and Counters call it. Several routes may
	// share one.
	name string
	// path is what follows the tenant, compared without letter case as Entra
	// does. One that begins with a slash is the whole path, without a tenant, and
	// is compared as it is; if it also ends in a slash, it is everything below.
	path string
	// read endpoints answer GET and HEAD only. The handlers of the others look at
	// the method themselves.
	read bool
	// plain endpoints are what real machines serve over plain http; they are
	// served there and nowhere else.
	plain  bool
	handle func(c *call, tenant string) answer
}

const (
	endpointToken   = "token"
	endpointConsent = "consent"
)

// routes is everything that is served. The first that fits a path answers.
var routes = []route{
	{name: endpointToken, path: tokenPath, handle: func(c *call, t string) answer { return c.token(t, 2) }},
	{name: endpointToken, path: tokenPathV1, handle: func(c *call, t string) answer { return c.token(t, 1) }},
	{name: "configuration", path: configPathV1, read: true, handle: func(c *call, t string) answer { return c.configuration(t, 1) }},
	{name: "configuration", path: configPathV2, read: true, handle: func(c *call, t string) answer { return c.configuration(t, 2) }},
	{name: "keys", path: keysPathV1, read: true, handle: func(c *call, t string) answer { return c.keys(t, 1) }},
	{name: "keys", path: keysPathV2, read: true, handle: func(c *call, t string) answer { return c.keys(t, 2) }},
	{name: "discovery", path: discoveryPath, read: true, handle: (*call).instanceDiscovery},
	{name: endpointConsent, path: consentPathV1, handle: (*call).adminConsent},
	{name: endpointConsent, path: consentPathV2, handle: (*call).adminConsent},
	{name: "arm", path: armMetadataPath, read: true, handle: (*call).armMetadata},
	{name: "arm", path: tenantsPath, read: true, handle: (*call).resourceManagement},
	{name: "arm", path: subscriptionsPath, read: true, handle: (*call).resourceManagement},
	{name: "arm", path: subscriptionsPath + "/", read: true, handle: (*call).resourceManagement},
	{name: "imds", path: imdsPath, plain: true, handle: (*call).imds},
	{name: "imds", path: appServicePath, plain: true, handle: (*call).appService},
	{name: "google", path: googlePath, plain: true, handle: (*call).google},
	{name: "github", path: githubPath, handle: (*call).github},
	{name: "pipelines", path: pipelinesPath, handle: (*call).pipelines},
}

// findRoute returns the route for a path, and what stands in it for the tenant.
func findRoute(path string, plain bool) (found route, tenant string) {
	tenant, endpoint := splitPath(path)
	for _, rt := range routes {
		switch whole := strings.HasPrefix(rt.path, "/"); {
		case rt.plain != plain:
		case !whole && rt.path == endpoint:
			return rt, tenant
		case whole && (rt.path == path || strings.HasSuffix(rt.path, "/") && strings.HasPrefix(path, rt.path)):
			return rt, ""
		}
	}
	if plain {
		tenant = "" // over plain http no path has one
	}
	return route{}, tenant
}

// splitPath cuts "/tenant/endpoint" and makes the endpoint lower case.
func splitPath(path string) (tenant, endpoint string) {
	tenant, endpoint, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return tenant, strings.ToLower(endpoint)
}

// endpointNames lists the names of the routes, each once.
func endpointNames() []string {
	var names []string
	for _, rt := range routes {
		names = append(names, rt.name)
	}
	return slices.Compact(names)
}
