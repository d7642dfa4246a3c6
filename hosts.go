// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// A host is the target of a request, or an element of a hostList.
type host struct {
	name   string // in a hostList: lower case, without a trailing dot
	port   string
	suffix bool // stands for every name below it, not for the name itself
	noPort bool // the port is the default
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

// A hostList is some of the hosts that get a token.
type hostList []host

// targets are where a token may be sent to.
type targets struct {
	hosts    hostList
	plain    hostList // also in plain http, by their ports for that
	loopback bool     // so are loopback addresses among hosts
}

// parsePlain reads TransportOptions.AllowHTTP. Each element has to be among hosts,
// with the same port or without any.
func parsePlain(names []string, hosts hostList) (hostList, error) {
	var list hostList
	var errs []error
	for _, name := range names {
		h, err := parseHost(name)
		among := slices.ContainsFunc(hosts, func(in host) bool {
			sameName := in.name == h.name && in.suffix == h.suffix || in.suffix && strings.HasSuffix(h.name, "."+in.name)
			return sameName && (in.port == h.port || h.noPort && in.port == "80")
		})
		if err == nil && !among {
			err = errorf(ErrConfiguration, "apponly: transport: TransportOptions.AllowHTTP: %s is not among the hosts", ident.OneLine(name, 100))
		}
		errs = append(errs, err)
		if h.noPort {
			h.port = "80"
		}
		list = append(list, h)
	}
	return list, errors.Join(errs...)
}

// parseHosts reads TransportOptions.Hosts; without any, the list is the host of
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
	h := host{port: "443", noPort: true}
	name, suffix := strings.CutPrefix(s, "*.")
	h.suffix = suffix
	hostname, port, err := net.SplitHostPort(name)
	switch {
	case err == nil:
		name, h.port = hostname, port
		h.noPort = false
	case len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' && strings.Contains(name, ":"):
		name = name[1 : len(name)-1]
	}
	h.name = strings.ToLower(name)
	_, portErr := strconv.ParseUint(h.port, 10, 16)
	switch {
	case !isHostname(name), portErr != nil, h.port[0] == '0',
		suffix && (strings.Contains(name, ":") || endsInNumber(name)): // an IP address has no subdomains
		return h, errorf(ErrConfiguration, `apponly: transport: host %s: want "host", "host:port" or "*.suffix", in ASCII`, quoteHost(s))
	case suffix && !strings.Contains(name, "."):
		return h, errorf(ErrConfiguration, "apponly: transport: host %q would match a whole top-level domain", ident.OneLine(s, 100))
	}
	return h, nil
}

// quoteHost shows what is no host, unless it may be a secret in the wrong place.
func quoteHost(s string) string {
	if what := ident.Misplaced(s); what != "" {
		return "is " + what
	}
	return strconv.Quote(ident.OneLine(s, 100))
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

// check returns the reason why req must not carry a token for scope, nil if it may.
func (t *targets) check(req *http.Request, scope string) error {
	u := req.URL
	if u == nil {
		return errorf(ErrConfiguration, "apponly: transport: request has no URL")
	}
	target, list, err := t.secure(u)
	if err != nil {
		return err
	}
	switch {
	case u.User != nil:
		// It may be a lure, as in https://graph.microsoft.com@evil.test, or a
		// password for a server that takes no bearer token.
		return errorf(ErrConfiguration, "apponly: transport: refused to send a token to %s: the URL has a user name", ident.OneLine(u.Host, 100))
	case u.Opaque != "" && (u.Opaque[0] != '/' || strings.HasPrefix(u.Opaque, "//")):
		// net/http sends it as the request target, in which a host takes
		// precedence over the Host header (RFC 9112 section 3.2.2).
		return errorf(ErrConfiguration, "apponly: transport: refused to send a token to %s: the URL is opaque and no path", ident.OneLine(u.Host, 100))
	case !list.allows(target):
		return list.refuse(target, scope)
	case req.Host == "" || req.Host == u.Host:
		return nil
	}
	// At a front end that several servers share, the Host header decides which of
	// them gets the request, and a reverse proxy by default passes on the one that
	// its client sent.
	sent := url.URL{Host: req.Host}
	target = host{name: sent.Hostname(), port: cmp.Or(sent.Port(), target.port)}
	if !list.allows(target) {
		return list.refuse(target, scope)
	}
	return nil
}

// secure returns where u leads to and the hosts that may be spoken to in that way,
// or an error if a token is not safe on it.
func (t *targets) secure(u *url.URL) (host, hostList, error) {
	switch u.Scheme {
	case "https":
		return host{name: u.Hostname(), port: cmp.Or(u.Port(), "443")}, t.hosts, nil
	case "http":
		return t.securePlain(u)
	}
	return host{}, nil, errorf(ErrConfiguration, "apponly: transport: refused to send a token over %q: want https", ident.OneLine(u.Scheme, 20))
}

func (t *targets) securePlain(u *url.URL) (host, hostList, error) {
	target := host{name: u.Hostname(), port: cmp.Or(u.Port(), "80")}
	local := isLoopback(target.name)
	switch {
	case t.plain.allows(target):
		return target, t.plain, nil
	case local && t.loopback:
		return target, t.hosts, nil
	}
	option := "AllowHTTP if something below makes the TLS"
	if local {
		option = "AllowLoopbackHTTP"
	}
	return host{}, nil, errorf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https, or TransportOptions.%s", ident.OneLine(u.Host, 100), option)
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
