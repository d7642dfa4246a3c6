// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
	"github.com/apponly/apponly/internal/netfault"
)

func lookAtProxy(ctx context.Context, p *patient) finding {
	if base := p.env.Server.Base; base != nil {
		return ok("none: the cluster's token proxy " + base.Host + " is asked directly")
	}
	name := "HTTPS_PROXY"
	if os.Getenv(name) == "" && os.Getenv("https_proxy") != "" {
		name = "https_proxy"
	}
	proxy, err := p.proxy()
	if err != nil || proxy != nil && torn(proxy, os.Getenv(name)) {
		// Without the error, which quotes the URL and the password in it.
		return fault("the address in "+name+" cannot be read", "Set "+name+" to a URL such as http://proxy.example:3128, with special characters of a password percent-encoded.", string(apponly.ErrUnreachable))
	}
	if proxy == nil {
		if os.Getenv(name) != "" {
			u, _ := p.target()
			return ok("none: " + name + " is set, but not for " + u.Hostname() + " (NO_PROXY)")
		}
		return ok("none")
	}
	return judgeProxy(p.ask(ctx, proxy), name)
}

// torn reports whether a URL was read at a place where it does not divide, so that its
// host may be a part of the password: net/http takes what does not parse for a host.
func torn(proxy *url.URL, value string) bool {
	return proxy.User == nil && strings.Contains(value, "@") || strings.HasSuffix(proxy.Host, ":")
}

// judgeProxy judges whether the proxy that name leads to lets the request through.
func judgeProxy(a *answer, name string) finding {
	at := a.proxy.Scheme + "://" + a.proxy.Host
	if a.through {
		return ok(at + " (" + name + ") lets the connection through, in " + screen.Span(a.opened))
	}
	remedy := "Correct " + name + ", or let this machine reach the proxy."
	if status, refused := errors.AsType[netfault.ProxyStatus](a.err); refused {
		switch int(status) {
		case http.StatusProxyAuthRequired:
			remedy = "Put user and password into the URL in " + name + ", percent-encoded. Kerberos and NTLM are not spoken here: have " + a.host + " let through without."
		case http.StatusForbidden:
			remedy = "Have " + a.host + " put on the list of hosts that the proxy lets through."
		default:
			remedy = "Ask whoever runs the proxy whether it reaches " + a.host + "."
		}
	}
	return fault(at+" ("+name+"): "+reason(a.err), remedy, string(apponly.ErrUnreachable))
}
