// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/tls"
	"sync"
)

// maxHostCertificates bounds what is kept: the regional hosts of a cloud have whatever
// name a client makes up.
const maxHostCertificates = 256

// hostCertificates makes certificates for the hosts that clients ask for, one for each
// as long as there is room.
type hostCertificates struct {
	ca func() *certAuthority

	mu     sync.Mutex // not held while a certificate is made
	byHost map[string]func() *tls.Certificate
}

func newHostCertificates(ca func() *certAuthority) *hostCertificates {
	return &hostCertificates{ca: ca, byHost: make(map[string]func() *tls.Certificate)}
}

// get returns the certificate of a host. Of those who ask for the same host at once one
// makes it and the others wait.
func (h *hostCertificates) get(host string) *tls.Certificate {
	h.mu.Lock()
	get, known := h.byHost[host]
	if !known {
		get = sync.OnceValue(func() *tls.Certificate {
			c := h.ca().certificate(host)
			return &c
		})
		for other := range h.byHost { // any: it is made again when it is wanted
			if len(h.byHost) < maxHostCertificates {
				break
			}
			delete(h.byHost, other)
		}
		h.byHost[host] = get
	}
	h.mu.Unlock()
	return get()
}
