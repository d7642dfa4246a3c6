// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// A host is one that gets the token.
type host struct {
	name   string // lower case, without a trailing dot
	port   string
	suffix bool // every name below it, not it
}

func (h host) String() string {
	name := h.name
	if h.suffix {
		name = "*." + name
	}
	if h.port == "443" {
		return name
	}
	return net.JoinHostPort(name, h.port)
}

func parseHost(s string) (host, error) {
	h := host{port: "443"}
	name, suffix := strings.CutPrefix(s, "*.")
	h.suffix = suffix
	hostname, port, err := net.SplitHostPort(name)
	switch {
	case err == nil:
		name, h.port = hostname, port
	case len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' && strings.Contains(name, ":"):
		name = name[1 : len(name)-1]
	}
	h.name = strings.ToLower(name)
	_, portErr := strconv.ParseUint(h.port, 10, 16)
	switch {
	case !isHostname(name), portErr != nil, h.port[0] == '0',
		suffix && (strings.Contains(name, ":") || endsInNumber(name)): // addresses have no names below them
		return h, faultf(ErrConfiguration, `apponly: transport: host %q: want "host", "host:port" or "*.suffix", in ASCII`, ident.OneLine(s, 100))
	case suffix && !strings.Contains(name, "."):
		return h, faultf(ErrConfiguration, "apponly: transport: host %q would match a whole top-level domain", ident.OneLine(s, 100))
	}
	return h, nil
}

// isHostname reports whether s is an IP address or a name that is in ASCII and
// has no empty label.
//
// Nothing else may be lower-cased and compared: "İ" becomes "i" for
// strings.ToLower, while net/http connects to what IDNA makes of it, which is
// another domain.
func isHostname(s string) bool {
	before := byte('.')
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && before != '.':
			before = c
		default:
			return net.ParseIP(s) != nil // of version 6
		}
	}
	return before != '.'
}

// endsInNumber reports whether the last label is a number, as in an IPv4
// address and in no domain.
func endsInNumber(name string) bool {
	return strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "0123456789") == ""
}

// allows reports whether h gets the token. The name has passed isHostname and
// is in lower case.
func (h host) allows(name, port string) bool {
	if h.suffix {
		return h.port == port && strings.HasSuffix(name, "."+h.name)
	}
	return h.port == port && h.name == name
}

// checkTarget says why req does not get the token, nil if it does.
func (t *Transport) checkTarget(req *http.Request) error {
	u := req.URL
	if u == nil {
		return faultf(ErrConfiguration, "apponly: transport: request has no URL")
	}
	name, port := u.Hostname(), u.Port()
	switch {
	case u.Scheme == "https":
		port = cmp.Or(port, "443")
	case u.Scheme == "http" && isLoopback(name) && t.loopback:
		port = cmp.Or(port, "80")
	case u.Scheme == "http" && isLoopback(name):
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https, or TransportOptions.AllowLoopbackHTTP", ident.OneLine(u.Host, 100))
	case u.Scheme == "http":
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https", ident.OneLine(u.Host, 100))
	default:
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token over %q: want https", ident.OneLine(u.Scheme, 20))
	}
	switch {
	case u.User != nil:
		// As in https://graph.microsoft.com@evil.test, or a password for
		// somebody who takes no bearer token.
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to %s: the URL has a user name", ident.OneLine(u.Host, 100))
	case u.Opaque != "" && (u.Opaque[0] != '/' || strings.HasPrefix(u.Opaque, "//")):
		// It is the request line then, and a host in there is the one that
		// counts (RFC 9112 section 3.2.2).
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to %s: the URL is opaque and no path", ident.OneLine(u.Host, 100))
	case !t.allows(name, port):
		return t.refuse(host{name: name, port: port})
	case req.Host == "" || req.Host == u.Host:
		return nil
	}
	// The Host header decides at a shared front end whose server gets the
	// request. A reverse proxy passes on its client's unless told otherwise.
	sent := url.URL{Host: req.Host}
	if h := (host{name: sent.Hostname(), port: cmp.Or(sent.Port(), port)}); !t.allows(h.name, h.port) {
		return t.refuse(h)
	}
	return nil
}

func (t *Transport) allows(name, port string) bool {
	if !isHostname(name) {
		return false
	}
	name = strings.ToLower(name)
	for _, h := range t.hosts {
		if h.allows(name, port) {
			return true
		}
	}
	return false
}

func (t *Transport) refuse(h host) error {
	allowed := make([]string, len(t.hosts))
	for i, h := range t.hosts {
		allowed[i] = h.String()
	}
	h.name, h.port = ident.OneLine(h.name, 100), ident.OneLine(h.port, 20)
	return faultf(ErrConfiguration,
		"apponly: transport: refused to send a token for %s to %s: its hosts are %s; many Azure APIs' hosts are not their scope's, see TransportOptions.Hosts",
		ident.OneLine(t.scope, 100), h, strings.Join(allowed, ", "))
}

func isLoopback(name string) bool {
	if strings.EqualFold(name, "localhost") {
		return true
	}
	return net.ParseIP(name).IsLoopback()
}
