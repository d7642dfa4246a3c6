// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
	"github.com/apponly/apponly/internal/netfault"
	"github.com/apponly/apponly/internal/wire"
)

func lookAtProxy(ctx context.Context, p *patient) finding {
	if base := p.env.Server.Base; base != nil {
		return ok("none: the cluster's token proxy " + base.Host + " is asked directly")
	}
	name := wire.ProxyVariable("https")
	proxy, err := p.proxy()
	if err != nil {
		return fault(reason(err), "Set "+name+" to a URL such as http://proxy.example:3128; / in a password is %2F, @ is %40.", string(apponly.ErrUnreachable))
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
