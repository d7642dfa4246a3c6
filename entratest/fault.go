// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/memhttp"
)

// The ways a connection can fail, for [Fault].
const (
	connHang      = "hang"
	connBlackHole = "black-hole"
	connReset     = "reset"
	connTruncate  = "truncate"
	connGarble    = "garble"
)

var connections = []string{connHang, connBlackHole, connReset, connTruncate, connGarble}

// Fault is something that goes wrong with the requests it matches. What is
// zero matches everything or does nothing; a Fault that does nothing at all is
// an error. One that only has a Delay lets the right answer through, late.
//
// In JSON the keys are endpoint, tenant, client_id, times, probability, delay,
// status, retry_after, code and connection, and a delay is written "2s".
type Fault struct {
	// Which requests. The names of the endpoints are those of [Server.Counters]:
	// "token", "configuration", "keys", "discovery" and "consent", and of the sources of
	// assertions "imds", "google", "github" and "pipelines"; with
	// [Server.SetResourceManager] also "arm".
	Endpoint string // "": any, and paths where nothing is
	Tenant   string // ID or domain name; "": any. Endpoints without a tenant in their path only match ""
	ClientID string // of the form or the Basic header, elsewhere of the query; "": any

	Times       int     // how many requests it hits before it is gone; 0: until it is removed
	Probability float64 // that it hits a request that matches, over 0 to 1; 0 means 1

	Delay      time.Duration // before anything else happens
	Status     int           // answer with this status, 200 to 599; a plain text of it is the body, unless there is a Code
	RetryAfter string        // with Status or Code, a Retry-After sent as it is: "30", an HTTP date, nonsense
	Code       int           // answer with this AADSTS number, and with Entra's status for it unless Status says another; of consent, 50020 and 65004 go to the app

	// Connection, instead of Status and Code, is how the connection fails:
	//
	//   - "hang": half of the right answer, and nothing more
	//   - "black-hole": no answer ever
	//   - "reset": the connection is reset; of HTTP/2, the stream
	//   - "truncate": the right answer ends after half of its body
	//   - "garble": status 200, and a body that is no JSON
	//
	// What hangs does so until the client leaves or [Server.Close]; whatever is
	// made to wait after Close is cut off at once.
	Connection string
}

// AddFault makes requests from now on meet f. Of several faults the first one
// added that matches a request acts, and no other. A request that a fault
// answers is not looked at any further: it may be wrong in itself, and does not
// count for [Server.SetThrottle].
//
// remove takes f away again, if it has not used itself up; requests that it has
// caught stay caught. err says what does not fit together in f.
func (s *Server) AddFault(f Fault) (remove func(), err error) {
	if err := f.check(); err != nil {
		return nil, prefixed(err)
	}
	id := s.faults.add(f)
	return func() { s.faults.remove(id) }, nil
}

// ClearFaults takes all faults away. Requests that one has caught stay caught.
func (s *Server) ClearFaults() { s.faults.clear() }

// check says what is wrong with f in terms of its JSON keys, because mistakes are
// made in scripts.
func (f *Fault) check() error {
	_, known := rowOf(f.Code)
	switch answers := f.Status != 0 || f.Code != 0; {
	case f.Endpoint != "" && !slices.Contains(endpointNames(), f.Endpoint):
		return faultError("endpoint %q is unknown, want one of %s", f.Endpoint, strings.Join(endpointNames(), ", "))
	case f.Tenant != "" && !isTenantName(f.Tenant):
		return faultError("tenant %q is neither a GUID nor a domain name", f.Tenant)
	case f.ClientID != "" && !ident.IsGUID(f.ClientID):
		return faultError("client_id %q is not a GUID", f.ClientID)
	case f.Times < 0:
		return faultError("times is %d, want 0 or more", f.Times)
	case !(f.Probability >= 0 && f.Probability <= 1): // neither is NaN
		return faultError("probability is %v, want 0 to 1", f.Probability)
	case f.Delay < 0:
		return faultError("delay is %v, want 0 or more", f.Delay)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return faultError("status is %d, want a final one, 200 to 599", f.Status)
	case f.Code != 0 && !known:
		return faultError("code %d is not an AADSTS number that is known here", f.Code)
	case f.Code != 0 && f.Status != 0 && f.Status < 400:
		return faultError("status %d is none for code %d, want 400 to 599", f.Status, f.Code)
	case f.Connection != "" && !slices.Contains(connections, f.Connection):
		return faultError("connection %q is unknown, want one of %s", f.Connection, strings.Join(connections, ", "))
	case f.Connection != "" && answers:
		return faultError("connection %q goes with neither status nor code", f.Connection)
	case f.RetryAfter != "" && !answers:
		return faultError("retry_after goes with status or code only")
	case strings.ContainsFunc(f.RetryAfter, func(r rune) bool { return r < ' ' || r == 0x7f }), strings.TrimSpace(f.RetryAfter) != f.RetryAfter:
		return faultError("retry_after %q cannot be sent in a header", f.RetryAfter)
	case f.Connection == "" && !answers && f.Delay == 0:
		return faultError("it does nothing, want a delay, status, code or connection")
	}
	return nil
}

func faultError(format string, args ...any) error {
	return fmt.Errorf("fault: "+format, args...)
}

// summary is what the record says about f.
func (f *Fault) summary() string {
	var parts []string
	if f.Delay > 0 {
		parts = append(parts, "delay "+f.Delay.String())
	}
	if f.Status > 0 {
		parts = append(parts, fmt.Sprintf("status %d", f.Status))
	}
	if f.Code > 0 {
		parts = append(parts, fmt.Sprintf("code %d", f.Code))
	}
	if f.Connection != "" {
		parts = append(parts, f.Connection)
	}
	return strings.Join(parts, ", ")
}

// faultList holds the faults in the order they act.
type faultList struct {
	changed func() // called without the lock

	mu     sync.Mutex // locked before Server.mu, never while that is locked
	faults []activeFault
	lastID int
}

type activeFault struct {
	ID    int   `json:"id"`
	Hits  int   `json:"hits"`
	Fault Fault `json:"fault"`
}

func (l *faultList) add(f Fault) (id int) {
	defer l.changed()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastID++
	l.faults = append(l.faults, activeFault{ID: l.lastID, Fault: f})
	return l.lastID
}

// remove reports whether the fault was still there.
func (l *faultList) remove(id int) bool {
	defer l.changed()
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.faults)
	l.faults = slices.DeleteFunc(l.faults, func(a activeFault) bool { return a.ID == id })
	return len(l.faults) < before
}

func (l *faultList) clear() {
	defer l.changed()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = nil
}

func (l *faultList) list() []activeFault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]activeFault{}, l.faults...)
}

// take returns the first fault that matches and hits. One that by its probability
// does not hit leaves the request to the next, and is not used up by it.
func (l *faultList) take(matches func(*Fault) bool) (Fault, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.faults {
		a := &l.faults[i]
		f := a.Fault
		if !matches(&f) || f.Probability > 0 && rand.Float64() >= f.Probability {
			continue
		}
		if a.Hits++; a.Hits == f.Times {
			l.faults = slices.Delete(l.faults, i, i+1)
		}
		return f, true
	}
	return Fault{}, false
}

// findFault returns the fault that this request meets.
func (c *call) findFault() (Fault, bool) {
	if len(c.s.faults.list()) == 0 {
		return Fault{}, false // the usual case, for which the body need not be read
	}
	c.peekSender()
	tenant := c.s.canonicalTenant(c.tenant)
	f, ok := c.s.faults.take(func(f *Fault) bool {
		return (f.Endpoint == "" || f.Endpoint == c.route.name) &&
			(f.Tenant == "" || c.s.canonicalTenant(f.Tenant) == tenant) &&
			(f.ClientID == "" || strings.EqualFold(f.ClientID, c.sender.clientID))
	})
	if ok {
		c.logSender(tenant)
	}
	return f, ok
}

// inject does what the fault says, and returns the answer to send.
func (c *call) inject(f Fault) answer {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		if !c.waitFor(timer.C) {
			return answer{broken: connReset}
		}
		c.now = c.s.Now()
	}
	var ans answer
	switch {
	case f.Connection == connReset || f.Connection == connBlackHole:
		return answer{broken: f.Connection}
	case f.Connection == connGarble:
		return answer{status: http.StatusOK, body: rawBody{jsonType, "<html>\x00 this is not JSON"}}
	case f.Code != 0 && c.route.name == endpointConsent:
		ans = c.refusedConsent(injectedRefusal(f.Code))
	case f.Code != 0:
		ans = c.refused(injectedRefusal(f.Code))
	case f.Status != 0:
		if f.Status != http.StatusNoContent && f.Status != http.StatusNotModified {
			// A plain text is how the front end of Entra refuses.
			ans.body = rawBody{textType, http.StatusText(f.Status)}
		}
	default:
		return breakOff(c.respond(), f.Connection, c.r.Method)
	}
	if f.Status != 0 {
		ans.status = f.Status
	}
	if f.RetryAfter != "" {
		ans = ans.with("Retry-After", f.RetryAfter)
	}
	return ans
}

// breakOff makes an answer break off in the middle of its body. An answer without
// one gets one; to HEAD, which cannot have one, there is no answer at all.
func breakOff(ans answer, connection, method string) answer {
	switch {
	case connection == "":
		return ans
	case method == http.MethodHead && connection == connHang:
		return answer{broken: connBlackHole}
	case method == http.MethodHead:
		return answer{broken: connReset}
	case ans.body == nil:
		ans.body = map[string]any{}
	}
	ans.broken = connection
	return ans
}

// injectedRefusal is a refusal that nothing in the request is the reason for.
func injectedRefusal(code int) *refusal {
	row, _ := rowOf(code)
	args := make([]any, strings.Count(row.text, "%s"))
	for i := range args {
		args[i] = "(injected)"
	}
	return refuse(code, args...)
}

// waitFor waits for a channel. It returns false if the client left or the
// emulator was closed before that.
func (c *call) waitFor(ready <-chan time.Time) bool {
	select {
	case <-ready:
		return true
	case <-c.r.Context().Done():
	case <-c.s.closing:
	}
	return false
}

// deliver sends an answer, or what is left of it if the connection is to fail.
func (c *call) deliver(w http.ResponseWriter, ans answer) {
	switch ans.broken {
	case "":
		c.write(w, ans)
	case connTruncate:
		// net/http sees that less was sent than announced, and ends the connection,
		// or the stream, in good order, as a proxy that gives up does.
		c.write(w, ans)
	case connHang:
		c.readAll()
		c.write(w, ans)
		_ = http.NewResponseController(w).Flush() // without Flush nothing is sent yet, which hangs as well
		c.waitFor(nil)
		panic(http.ErrAbortHandler)
	case connBlackHole:
		c.readAll()
		c.waitFor(nil)
		panic(http.ErrAbortHandler)
	case connReset:
		reset(w)
	}
}

// readAll reads what peekSender has left of a very long body. As long as there is
// something left, net/http does not notice that the client leaves.
func (c *call) readAll() { _, _ = io.Copy(io.Discard, c.r.Body) }

// reset ends the connection with a RST. A stream of HTTP/2 is reset by the abort.
func reset(w http.ResponseWriter) {
	memhttp.Reset(w)
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		// A TLS connection would be closed with an alert first.
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn()
		}
		_ = setLinger(conn, 0) // RST in place of FIN
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
