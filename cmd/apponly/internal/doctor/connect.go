// SPDX-License-Identifier: MIT

package doctor

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func lookAtConnection(ctx context.Context, p *patient) finding {
	if proxy, _ := p.proxy(); proxy != nil {
		return ok("not directly: the proxy has connected")
	}
	u, _ := p.target()
	address := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
	begin := time.Now()
	conn, err := (&net.Dialer{Timeout: stepTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return judgeConnection(address, "", err, 0)
	}
	defer conn.Close()
	return judgeConnection(address, conn.RemoteAddr().String(), nil, time.Since(begin))
}

func judgeConnection(address, remote string, err error, took time.Duration) finding {
	if err != nil {
		return fault(address+": "+reason(err), "Allow this connection: firewall, egress rules, network policy. Where only a proxy leads out, set HTTPS_PROXY.", string(apponly.ErrUnreachable))
	}
	return ok(remote + " answers, in " + screen.Span(took))
}
