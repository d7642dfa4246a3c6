// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/apponly/apponly/internal/keyfile"
	"github.com/apponly/apponly/internal/wire"
)

// nameCAFile is what a fault of the file is told of.
const nameCAFile = "Options.CAFile (APPONLY_CA_FILE)"

// caFileClients keeps one HTTP client per file of roots, because the HTTP client
// is part of what clients share tokens by.
var caFileClients sync.Map // path → *http.Client

// caFileClient returns the HTTP client that trusts the roots in a file and no
// others.
func caFileClient(path string) *http.Client {
	c, _ := caFileClients.LoadOrStore(path, wire.NewClient(wire.Route{Roots: rootsOf(nameCAFile, path)}))
	return c.(*http.Client)
}

// rootsOf returns what reads the roots in a file. name is what its faults are told of.
func rootsOf(name, path string) func(context.Context) (*x509.CertPool, error) {
	files := newLooks()
	return func(ctx context.Context) (*x509.CertPool, error) {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		roots, err := look(ctx, files, "reading "+path, func(context.Context) (*x509.CertPool, error) { return readRootsFile(path) })
		if err != nil {
			return nil, errorf(ErrCAFile, "%s: %w", name, err)
		}
		return roots, nil
	}
}

func readRootsFile(path string) (*x509.CertPool, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	roots, err := readRoots(b)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return roots, nil
}

func readRoots(b []byte) (*x509.CertPool, error) {
	certs, unread := keyfile.Roots(b)
	switch {
	case len(certs) > 0:
	case len(bytes.TrimSpace(withoutBOM(b))) == 0:
		return nil, errors.New("is empty")
	case unread != nil:
		return nil, fmt.Errorf("has no certificate that can be read: %w", unread)
	default:
		return nil, errors.New("has no certificate in PEM")
	}
	roots := x509.NewCertPool()
	for _, c := range certs {
		roots.AddCert(c)
	}
	return roots, nil
}
