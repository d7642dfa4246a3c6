// SPDX-License-Identifier: MIT

package apponly

import (
	"crypto/sha256"
	"crypto/x509"
	"net/http"
	"sync"
)

// caClients keeps one HTTP client per file of roots, because the HTTP client is
// part of what clients share tokens by.
var caClients sync.Map // path → *http.Client

func caClient(path string) *http.Client {
	c, _ := caClients.LoadOrStore(path, &http.Client{Transport: &caTransport{path: path}})
	return c.(*http.Client)
}

// A caTransport trusts the roots in a file, which it reads for each token
// request, once an hour or so: a rotated bundle counts without a restart.
type caTransport struct {
	path string

	mu      sync.Mutex // guards what follows; not held while a file is read or a request is under way
	sum     [sha256.Size]byte
	current *tokenTransport
}

func (t *caTransport) own() {}

// CloseIdleConnections closes the connections that carry no request.
func (t *caTransport) CloseIdleConnections() {
	t.mu.Lock()
	rt := t.current
	t.mu.Unlock()
	if rt != nil {
		rt.CloseIdleConnections()
	}
}

// RoundTrip sends req over TLS that trusts the file's roots and no others.
func (t *caTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	rt, err := t.transport()
	if err != nil {
		return nil, err
	}
	return rt.RoundTrip(req)
}

func (t *caTransport) transport() (*tokenTransport, error) {
	b, err := readFile(t.path)
	sum := sha256.Sum256(b)
	t.mu.Lock()
	old := t.current
	same := old != nil && (err != nil || sum == t.sum) // a file that is gone for a moment keeps the old roots
	t.mu.Unlock()
	if same {
		return old, nil
	}
	if err != nil {
		return nil, faultf(ErrConfiguration, "%s: %w", envCAFile, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		if old != nil {
			return old, nil
		}
		return nil, faultf(ErrConfiguration, "%s: %s has no certificate in PEM", envCAFile, t.path)
	}
	rt := newTokenTransport(roots)
	t.mu.Lock()
	t.sum, t.current = sum, &rt
	t.mu.Unlock()
	if old != nil {
		old.CloseIdleConnections()
	}
	return &rt, nil
}
