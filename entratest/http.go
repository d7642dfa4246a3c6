// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// call is one request on its way through the emulator.
type call struct {
	s           *Server
	r           *http.Request
	now         time.Time
	base        string // scheme and host as the client spelled them
	route       route  // the zero one if nothing is served there
	tenant      string // what the path has in a tenant's place
	sender      sender // who asks, as far as faults and throttling have looked
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
	status int // 0: none, the connection is all there is to see
	header map[string]string
	body   any    // marshalled to JSON, unless it is a rawBody; nil for none
	broken string // how the connection fails while it is sent: a Fault.Connection
}

const (
	jsonType = "application/json; charset=utf-8"
	textType = "text/plain; charset=utf-8"
)

// rawBody is a body that is sent as it is.
type rawBody struct{ contentType, text string }

// ServeHTTP answers one request to the token service. It is for those who bring
// their own listener; it must be reached over https, because every URL it hands
// out says so. What real machines serve over plain http is not here but at
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

// respond gives the right answer.
func (c *call) respond() answer {
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
	return answer{status: http.StatusMethodNotAllowed, header: map[string]string{"Allow": allow}, body: body}
}

// canonicalHost makes "HOST:443" and "host" the same, because they are the
// same origin to whoever compares issuers and audiences.
func canonicalHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

// refused turns a refusal into the answer Entra would give.
func (c *call) refused(f *refusal) answer {
	c.log.Code = f.code
	stamp := c.now.UTC().Format("2006-01-02 15:04:05Z")
	body := map[string]any{
		"error": f.oauth,
		"error_description": f.description() + " Trace ID: " + c.trace +
			" Correlation ID: " + c.correlation + " Timestamp: " + stamp,
		"error_codes":    []int{f.code},
		"timestamp":      stamp,
		"trace_id":       c.trace,
		"correlation_id": c.correlation,
		"error_uri":      c.base + "/error?code=" + strconv.Itoa(f.code),
	}
	maps.Copy(body, f.members())
	return answer{status: f.status, body: body}
}

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
		w.Write(body) // the client being gone is its own affair
	}
}

// encode returns the bytes of the body, and says in h what they are.
func (a *answer) encode(h http.Header) []byte {
	if raw, ok := a.body.(rawBody); ok {
		h.Set("Content-Type", raw.contentType)
		return []byte(raw.text)
	}
	body, err := json.Marshal(a.body)
	if err != nil { // only maps, strings and numbers are ever in it
		panic(err)
	}
	h.Set("Content-Type", jsonType)
	return body
}
