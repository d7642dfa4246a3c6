// SPDX-License-Identifier: MIT

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly"
)

// maxReplay is how large a body may be that is sent again after a 401.
const maxReplay = 1 << 20

// key tells proxies apart across configurations: by where they listen.
func (p Proxy) key() string { return p.Listen + p.Socket }

// admits reports whether a caller is one of the proxy's.
func (p Proxy) admits(who identity) bool { return p.Open || who.is(p.UID, p.Header, false) }

func (p Proxy) methods() []string {
	if len(p.Methods) == 0 {
		return []string{http.MethodGet, http.MethodHead}
	}
	return p.Methods
}

// A proxy passes requests on to one API.
type proxy struct {
	Proxy
	reverse *httputil.ReverseProxy
}

func newProxy(p Proxy, client *apponly.Client) (*proxy, error) {
	to, err := url.Parse(p.To)
	if err != nil {
		return nil, err
	}
	host := to.Host
	if to.Scheme == "http" && to.Port() == "" {
		host += ":80"
	}
	transport, err := apponly.NewTransport(client, p.Scope, &apponly.TransportOptions{
		Base: upstreams, Hosts: []string{host}, AllowLoopbackHTTP: to.Scheme == "http",
	})
	if err != nil {
		return nil, fmt.Errorf("agent: proxy to %s: %w", to.Redacted(), err)
	}
	return &proxy{p, &httputil.ReverseProxy{
		// ReverseProxy itself takes hop-by-hop and X-Forwarded headers away.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			strip(r.Out.Header)
			r.Out.Trailer = nil // headers of the caller's by another way
		},
		Transport:    transport,
		ErrorHandler: proxyError,
	}}, nil
}

// upstreams is the one that carries what is passed on. It follows no redirect, as no
// transport does: they go back to the caller.
var upstreams = http.DefaultTransport.(*http.Transport).Clone()

// strip takes away what is the caller's and must not reach the API: the token is the
// agent's, cookies and addresses are nobody's there, and the secret is for the agent.
// An upgrade would turn the request into something else, and some servers take the
// method (those of OData) or the path (those behind IIS) from a header.
func strip(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded-") {
			delete(h, name)
		}
	}
	for _, name := range []string{
		"Authorization", "Proxy-Authorization", identityHeader, "Cookie", "Forwarded", "Via", "X-Real-Ip",
		"Upgrade", "Connection", "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url",
	} {
		h.Del(name)
	}
}

// proxyRefusal says in place of the API why there is no answer of it.
func proxyRefusal(err error, now time.Time) *refusal {
	e, ok := errors.AsType[*apponly.Error](err)
	var no *refusal
	switch {
	case !ok && errors.Is(err, context.DeadlineExceeded):
		no = refusalOf(err, now)
	case !ok: // of the API, whose URL may have a secret in it
		no = refused(http.StatusBadGateway, unavailable, "the API behind the proxy did not answer")
	default:
		// Not 400 or 429, which would be taken for the API's.
		if no = tokenRefusal(e, now); no.Status >= http.StatusTooManyRequests {
			no.Status = http.StatusServiceUnavailable
		} else {
			no.Status = http.StatusBadGateway
		}
	}
	no.RetryAfter = max(no.RetryAfter, 1)
	return no
}

// proxyError answers in place of the API.
func proxyError(w http.ResponseWriter, r *http.Request, err error) {
	no := proxyRefusal(err, time.Now())
	if report, ok := r.Context().Value(reportKey{}).(*report); ok {
		report.no = no
	}
	w.Header().Set("Cache-Control", "no-store")
	no.write(w)
}

type reportKey struct{}

// A report takes what became of a request to the log.
type report struct{ no *refusal }

// serveProxy answers what comes in at the door of a proxy, by the configuration of now.
func (a *Agent) serveProxy(key string, w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{state: a.state.Load(), r: r, who: arrival(r.Context())}
	p, ok := c.proxies[key]
	if !ok { // its door is closing
		refused(http.StatusServiceUnavailable, unavailable, "the proxy is gone").write(w)
		return
	}
	rep := &report{no: p.admit(c)}
	if rep.no == nil {
		c.app, c.scope = appOr(p.App), p.Scope
		p.forward(c, rep, w)
	} else {
		w.Header().Set("Cache-Control", "no-store")
		rep.no.write(w)
	}
	c.write("proxy "+key, rep.no, time.Since(start))
}

// admit refuses who may not use the proxy, and what it does not pass on.
func (p *proxy) admit(c *call) *refusal {
	if no := guard(c.r, isLoopbackName, true); no != nil {
		return no
	}
	if climbs(c.r.URL.Path) {
		return refused(http.StatusBadRequest, invalidRequest, "the path has a segment of dots")
	}
	if secret := headerSecret(c.r.Header); secret != "" || !p.Open && !c.who.hasUID {
		if no := c.authenticate(secret); no != nil {
			return no
		}
	}
	switch {
	case !p.admits(c.who):
		return refused(http.StatusForbidden, accessDenied, c.who.String()+" may not use this proxy")
	case !slices.Contains(p.methods(), c.r.Method):
		return refused(http.StatusMethodNotAllowed, invalidRequest, "want "+strings.Join(p.methods(), " or "))
	}
	return nil
}

// onceMore decodes what matters in a path, and leaves alone what is no encoding.
var onceMore = strings.NewReplacer("%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`, "%3b", ";", "%3B", ";", "%25", "%")

// mostDecoded is how often a path may turn out to be encoded, beyond the first time.
const mostDecoded = 4

// climbs reports whether a path has segments that could lead out of the path of To, in
// the eyes of any server: some take a backslash for a slash, some cut parameters off a
// segment before they look at it, some decode a path twice.
func climbs(path string) bool {
	for range mostDecoded {
		for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
				return true
			}
		}
		decoded := onceMore.Replace(path)
		if decoded == path {
			return false
		}
		path = decoded
	}
	return true
}

// forward passes the request on once there is a token. A body that is short and whose
// length is known can be sent again with another one.
func (p *proxy) forward(c *call, rep *report, w http.ResponseWriter) {
	r := c.r.WithContext(context.WithValue(c.r.Context(), reportKey{}, rep))
	ctx, cancel := context.WithTimeout(r.Context(), maxHold)
	_, err := c.clients[c.app].Token(ctx, c.scope)
	cancel()
	if err != nil {
		proxyError(w, r, err)
		return
	}
	if n := r.ContentLength; n > 0 && n <= maxReplay {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			rep.no = refused(http.StatusBadRequest, invalidRequest, "the body cannot be read")
			rep.no.write(w)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	p.reverse.ServeHTTP(w, r)
}
