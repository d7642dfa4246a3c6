// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
)

func lookAtRoots(ctx context.Context, p *patient) finding {
	server := p.env.Server
	if server.Roots == nil {
		return ok("those of the system")
	}
	certs, err := server.Roots(ctx)
	if err != nil {
		return faultOf(err, "")
	}
	p.roots = x509.NewCertPool()
	for _, c := range certs {
		p.roots.AddCert(c)
	}
	if len(certs) == 1 {
		return ok(fmt.Sprintf("%s in %s", quote(nameOf(certs[0].Subject)), server.RootsIn))
	}
	return ok(fmt.Sprintf("%d certificates in %s", len(certs), server.RootsIn))
}
