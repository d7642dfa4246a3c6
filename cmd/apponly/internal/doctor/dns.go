// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func lookAtDNS(ctx context.Context, p *patient) finding {
	u, _ := p.target()
	host := u.Hostname()
	if proxy, _ := p.proxy(); proxy != nil {
		return ok("not looked up here: the proxy does that")
	}
	if net.ParseIP(host) != nil {
		return ok(host + " is an address")
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	begin := time.Now()
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	return judgeDNS(host, addrs, err, time.Since(begin))
}

func judgeDNS(host string, addrs []string, err error, took time.Duration) finding {
	if err != nil {
		return fault(host+": "+reason(err), "Check the name, and the DNS of this machine or pod; where only a proxy leads out, set HTTPS_PROXY.", string(apponly.ErrUnreachable))
	}
	text := fmt.Sprintf("%s is %s", host, addrs[0])
	if len(addrs) > 1 {
		text += fmt.Sprintf(" and %d more", len(addrs)-1)
	}
	return ok(text + ", in " + screen.Span(took))
}
