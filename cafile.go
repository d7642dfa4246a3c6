// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"crypto/x509"
	"net/http"
	"sync"

	"github.com/apponly/apponly/internal/wire"
)

// caFileClients keeps one HTTP client per file of roots, because the HTTP client
// is part of what clients share tokens by.
var caFileClients sync.Map // path → *http.Client

// caFileClient returns the HTTP client that trusts the roots in a file and no
// others. setting is what the file was named by.
func caFileClient(path, setting string) *http.Client {
	c, _ := caFileClients.LoadOrStore(path, wire.NewRootsClient(func() (*x509.CertPool, error) {
		b, err := readFile(path)
		if err != nil {
			return nil, errorf(ErrConfiguration, "%s: %w", setting, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(bytes.ReplaceAll(b, []byte(byteOrderMark), nil)) {
			return nil, errorf(ErrConfiguration, "%s: %s has no certificate in PEM", setting, path)
		}
		return roots, nil
	}))
	return c.(*http.Client)
}
