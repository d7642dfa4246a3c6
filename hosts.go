// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// A host is the target of a request, or an element of a hostList.
type host struct {
	name   string // in a hostList: lower case, without a trailing dot
	port   string
	suffix bool // stands for every name below it, not for the name itself
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

// A hostList is the hosts that get a token.
type hostList []host

// parseHosts reads [TransportOptions.Hosts]; without any, the list is the host of
// the scope.
func parseHosts(names []string, scope string) (hostList, error) {
	if len(names) == 0 {
		u, err := url.Parse(scope)
		if err != nil || u.Scheme != "https" || u.Host == "" || strings.HasPrefix(u.Host, "*") {
			return nil, errorf(ErrConfiguration, "apponly: transport: scope %s has no host: set TransportOptions.Hosts", ident.OneLine(scope, 100))
		}
		names = []string{u.Host}
	}
	list := make(hostList, len(names))
	errs := make([]error, len(names))
	for i, name := range names {
		list[i], errs[i] = parseHost(name)
	}
	return list, errors.Join(errs...)
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
		suffix && (strings.Contains(name, ":") || endsInNumber(name)): // an IP address has no subdomains
		return h, errorf(ErrConfiguration, `apponly: transport: host %q: want "host", "host:port" or "*.suffix", in ASCII`, ident.OneLine(s, 100))
	case suffix && !strings.Contains(name, "."):
		return h, errorf(ErrConfiguration, "apponly: transport: host %q would match a whole top-level domain", ident.OneLine(s, 100))
	}
	return h, nil
}

// isHostname reports whether s is an IP address or a DNS name in ASCII without an
// empty label.
//
// No other name may be put into lower case and compared: strings.ToLower turns "İ"
// into "i", but net/http connects to the form that IDNA gives it, which is another
// domain.
func isHostname(s string) bool {
	before := byte('.')
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && before != '.':
			before = c
		default:
			return net.ParseIP(s) != nil // IPv6
		}
	}
	return before != '.'
}

// endsInNumber reports whether the last label is a number, which is so in every
// IPv4 address and in no domain.
func endsInNumber(name string) bool {
	return strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "0123456789") == ""
}

// checkTarget returns the reason why req must not carry a token for scope, nil if it
// may. loopback admits plain http to loopback addresses among the hosts.
func (l hostList) checkTarget(req *http.Request, scope string, loopback bool) error {
	u := req.URL
	if u == nil {
		return errorf(ErrConfiguration, "apponly: transport: request has no URL")
	}
	port, err := securePort(u, loopback)
	if err != nil {
		return err
	}
	target := host{name: u.Hostname(), port: port}
	switch {
	case u.User != nil:
		// It may be a lure, as in https://graph.microsoft.com@evil.test, or a
		// password for a server that takes no bearer token.
		return errorf(ErrConfiguration, "apponly: transport: refused to send a token to %s: the URL has a user name", ident.OneLine(u.Host, 100))
	case u.Opaque != "" && (u.Opaque[0] != '/' || strings.HasPrefix(u.Opaque, "//")):
		// net/http sends it as the request target, in which a host takes
		// precedence over the Host header (RFC 9112 section 3.2.2).
		return errorf(ErrConfiguration, "apponly: transport: refused to send a token to %s: the URL is opaque and no path", ident.OneLine(u.Host, 100))
	case !l.allows(target):
		return l.refuse(target, scope)
	case req.Host == "" || req.Host == u.Host:
		return nil
	}
	// At a front end that several servers share, the Host header decides which of
	// them gets the request, and a reverse proxy by default passes on the one that
	// its client sent.
	sent := url.URL{Host: req.Host}
	target = host{name: sent.Hostname(), port: cmp.Or(sent.Port(), port)}
	if !l.allows(target) {
		return l.refuse(target, scope)
	}
	return nil
}

// securePort returns the port that u leads to, or an error if a token is not safe
// on the way there.
func securePort(u *url.URL, loopback bool) (string, error) {
	local := u.Scheme == "http" && isLoopback(u.Hostname())
	switch {
	case u.Scheme == "https":
		return cmp.Or(u.Port(), "443"), nil
	case local && loopback:
		return cmp.Or(u.Port(), "80"), nil
	case local:
		return "", errorf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https, or TransportOptions.AllowLoopbackHTTP", ident.OneLine(u.Host, 100))
	case u.Scheme == "http":
		return "", errorf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https", ident.OneLine(u.Host, 100))
	}
	return "", errorf(ErrConfiguration, "apponly: transport: refused to send a token over %q: want https", ident.OneLine(u.Scheme, 20))
}

func isLoopback(name string) bool {
	return strings.EqualFold(name, "localhost") || net.ParseIP(name).IsLoopback()
}

func (l hostList) allows(target host) bool {
	if !isHostname(target.name) {
		return false
	}
	name := strings.ToLower(target.name)
	for _, h := range l {
		if h.port == target.port && (h.suffix && strings.HasSuffix(name, "."+h.name) || !h.suffix && h.name == name) {
			return true
		}
	}
	return false
}

func (l hostList) refuse(target host, scope string) error {
	allowed := make([]string, len(l))
	for i, h := range l {
		allowed[i] = h.String()
	}
	target.name, target.port = ident.OneLine(target.name, 100), ident.OneLine(target.port, 20)
	return errorf(ErrConfiguration,
		"apponly: transport: refused to send a token for %s to %s: its hosts are %s; many Azure APIs' hosts are not their scope's, see TransportOptions.Hosts",
		ident.OneLine(scope, 100), target, strings.Join(allowed, ", "))
}
