// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// adminPrefix begins the paths that control the emulator. It cannot be the name of
// a tenant: domain names have no underscore.
const adminPrefix = "/_emulator/"

// SetAdmin opens or closes the paths below /_emulator/, by which another process
// looks at the emulator and changes it; they are open by default. Closed, they are
// like any path where nothing is served. Requests to them are neither recorded nor
// counted, and meet no fault.
//
//	GET                      a page for people: the requests as they come, faults, clock, directory
//	GET    requests          the record, as of [Server.Requests]; ?limit=n for the newest n
//	GET    counters          [Counters]
//	GET    faults            the active ones: [{"id": 1, "hits": 0, "fault": {…}}]
//	POST   faults            adds a [Fault], answers {"id": 1}
//	DELETE faults            removes all
//	DELETE faults/{id}       removes one
//	GET    throttle          [Throttle]
//	PUT    throttle          sets it
//	DELETE throttle          turns it off
//	GET    clock             {"now": "2030-01-31T12:00:00Z", "offset": "1h0m0s"}
//	PUT    clock             sets it by one of these keys
//	POST   sign              a token of {"header": {…}, "claims": {…}}, the header if it is
//	                         to be special, by [Server.Sign]: {"token": "…"}
//
// A mistake is answered {"error": "…"}. There is no password, so what another page in a
// browser might send is refused: requests with an Origin, but for the forms of this page,
// those that a browser says are of another site, and those for another host than an IP
// address, localhost or that of [Server.Cloud].
func (s *Server) SetAdmin(on bool) { s.update(func() { s.adminOff = !on }) }

func (s *Server) isAdmin(path string) bool {
	if !strings.HasPrefix(path+"/", adminPrefix) {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.adminOff
}

// adminHandler returns what is marshalled to JSON, nil for no body, or a whole answer. An
// *adminError has a status; any other error means 400.
type adminHandler func(s *Server, r *http.Request, body []byte) (any, error)

type adminError struct {
	status int
	text   string
}

func (e *adminError) Error() string { return e.text }

var adminRoutes = map[string]map[string]adminHandler{
	"":         {http.MethodGet: adminPage, http.MethodPost: adminForm},
	"page.js":  {http.MethodGet: adminScript},
	"requests": {http.MethodGet: adminRequests},
	"counters": {http.MethodGet: adminGet(func(s *Server) any { return s.Counters() })},
	"faults": {
		http.MethodGet:    adminGet(func(s *Server) any { return s.faults.list() }),
		http.MethodPost:   adminAddFault,
		http.MethodDelete: adminGet(func(s *Server) any { s.ClearFaults(); return nil }),
	},
	"faults/": {http.MethodDelete: adminRemoveFault},
	"throttle": {
		http.MethodGet:    adminGet(func(s *Server) any { return s.throttle.get() }),
		http.MethodPut:    adminSetThrottle,
		http.MethodDelete: adminGet(func(s *Server) any { s.throttle.set(Throttle{}); return nil }),
	},
	"events": {http.MethodGet: adminEvents},
	"clock":  {http.MethodGet: adminClock, http.MethodPut: adminSetClock},
	"sign":   {http.MethodPost: adminSign},
}

// adminGet is a handler that does not look at the request.
func adminGet(get func(*Server) any) adminHandler {
	return func(s *Server, _ *http.Request, _ []byte) (any, error) { return get(s), nil }
}

func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Date", s.Now().UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	body, err := s.admin(h, r)
	ans, whole := body.(answer)
	if !whole {
		ans = answer{status: http.StatusOK, body: body}
	}
	if err != nil {
		ans = answer{status: http.StatusBadRequest, body: map[string]string{"error": err.Error()}}
		if e, ok := errors.AsType[*adminError](err); ok {
			ans.status = e.status
		}
	}
	for name, value := range ans.header {
		h.Set(name, value)
	}
	switch stream, ok := ans.body.(*eventStream); {
	case ok:
		stream.serve(w, r)
	case ans.body == nil && !whole:
		w.WriteHeader(http.StatusNoContent)
	case ans.body == nil:
		w.WriteHeader(ans.status)
	default:
		data := ans.encode(h)
		h.Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(ans.status)
		w.Write(data)
	}
}

// admitAdmin refuses what a page of somebody else may have a browser send. A link to the
// page may be followed from anywhere: it cannot be framed.
func (s *Server) admitAdmin(r *http.Request, name string) error {
	if host := hostname(r.Host); !s.isOurs(host) {
		return &adminError{http.StatusForbidden, fmt.Sprintf("host %q is not this emulator, want an IP address, localhost or the host of its authority", shorten(host, maxRecorded))}
	}
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	form := name == "" && r.Method == http.MethodPost
	link := name == "" && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Dest") == "document"
	switch {
	case form && !isOrigin(origin, "https://"+canonicalHost(r.Host)), !form && origin != "",
		site != "" && site != "same-origin" && site != "none" && !link:
		return &adminError{http.StatusForbidden, "a page in a browser may not do this"}
	}
	return nil
}

// isOrigin reports whether an Origin header names the origin of base, as clients spell it.
func isOrigin(origin, base string) bool {
	host, secure := strings.CutPrefix(origin, "https://")
	return secure && "https://"+canonicalHost(host) == base
}

func (s *Server) admin(h http.Header, r *http.Request) (any, error) {
	if !strings.HasPrefix(r.URL.Path, adminPrefix) { // somebody has typed it without the slash
		return answer{status: http.StatusPermanentRedirect}.with("Location", adminPrefix), nil
	}
	name := strings.TrimPrefix(r.URL.Path, adminPrefix)
	if err := s.admitAdmin(r, name); err != nil {
		return nil, err
	}
	if collection, _, ok := strings.Cut(name, "/"); ok {
		name = collection + "/"
	}
	methods := adminRoutes[name]
	if methods == nil {
		return nil, &adminError{http.StatusNotFound, "nothing is served there, want " + strings.TrimPrefix(strings.Join(slices.Sorted(maps.Keys(adminRoutes)), ", "), ", ")}
	}
	handle := methods[r.Method]
	if handle == nil {
		allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		h.Set("Allow", allow)
		return nil, &adminError{http.StatusMethodNotAllowed, "want " + allow}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return handle(s, r, body)
}

// isOurs reports whether a request for host is meant for the emulator. The name of
// a web page may resolve to this machine, but then it is also in the Host header;
// an IP address there is not such a trick.
func (s *Server) isOurs(host string) bool {
	secure, _ := s.bases()
	u, err := url.Parse(secure)
	return net.ParseIP(host) != nil || strings.EqualFold(host, "localhost") ||
		err == nil && strings.EqualFold(host, u.Hostname())
}

func adminRequests(s *Server, r *http.Request, _ []byte) (any, error) {
	list := s.Requests()
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("limit %q is not a whole number, 0 or more", shorten(text, maxRecorded))
		}
		list = list[max(0, len(list)-n):]
	}
	return list, nil
}

func adminAddFault(s *Server, _ *http.Request, body []byte) (any, error) {
	var f Fault
	if err := f.read(body); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return map[string]int{"id": s.faults.add(f)}, nil
}

func adminRemoveFault(s *Server, r *http.Request, _ []byte) (any, error) {
	text := strings.TrimPrefix(r.URL.Path, adminPrefix+"faults/")
	if id, err := strconv.Atoi(text); err != nil || !s.faults.remove(id) {
		return nil, &adminError{http.StatusNotFound, fmt.Sprintf("there is no fault with the id %q", shorten(text, maxRecorded))}
	}
	return nil, nil
}

func adminSetThrottle(s *Server, _ *http.Request, body []byte) (any, error) {
	var t Throttle
	if err := t.read(body); err != nil {
		return nil, err
	}
	return t, s.setThrottle(t)
}

func adminClock(s *Server, _ *http.Request, _ []byte) (any, error) {
	return map[string]any{"now": s.Now().UTC(), "offset": duration(s.clockOffset.Load())}, nil
}

func adminSetClock(s *Server, r *http.Request, body []byte) (any, error) {
	var now *time.Time
	var offset *duration
	if err := readScript("clock", body, map[string]any{"now": &now, "offset": &offset}); err != nil {
		return nil, err
	}
	switch {
	case (now == nil) == (offset == nil):
		return nil, errors.New("clock: want either now or offset")
	case now != nil:
		d := time.Until(*now)
		if d == math.MinInt64 || d == math.MaxInt64 {
			return nil, errors.New("clock: now is centuries away")
		}
		offset = new(duration(d))
	}
	s.SetClockOffset(time.Duration(*offset))
	return adminClock(s, r, nil)
}

func adminSign(s *Server, _ *http.Request, body []byte) (any, error) {
	var header, claims json.RawMessage
	if err := readScript("sign", body, map[string]any{"header": &header, "claims": &claims}); err != nil {
		return nil, err
	}
	if claims == nil {
		return nil, errors.New("sign: claims are missing")
	}
	var head any // a nil one is not the same as one of no bytes
	if header != nil {
		head = header
	}
	return map[string]string{"token": s.Sign(head, claims, nil)}, nil
}
