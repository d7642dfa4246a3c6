// SPDX-License-Identifier: MIT

package keyfile

import "crypto/x509"

// Roots returns the certificates in a file of PEM or DER, however it was carried
// here. One that cannot be read is left out, as of the system's roots: there is always
// one in a large bundle. unread says why Go does not parse the last such.
func Roots(b []byte) (certs []*x509.Certificate, unread error) {
	var blocks []block
	for _, form := range [][]byte{b, decodeBase64(b)} {
		if certs, err := x509.ParseCertificates(form); err == nil && len(certs) > 0 {
			return certs, nil
		}
		blocks = append(blocks, scanPEM(form)...)
	}
	for _, bl := range blocks {
		der, ok := bl.certificate()
		if !ok {
			continue
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			unread = err
			continue
		}
		certs = append(certs, cert)
	}
	return certs, unread
}
