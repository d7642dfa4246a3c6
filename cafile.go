// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/apponly/apponly/internal/wire"
)

// caFileClients keeps one HTTP client per file of roots, because the HTTP client
// is part of what clients share tokens by.
var caFileClients sync.Map // path → *http.Client

// caFileClient returns the HTTP client that trusts the roots in a file and no
// others.
func caFileClient(path string) *http.Client {
	files := newLooks()
	c, _ := caFileClients.LoadOrStore(path, wire.NewRootsClient(func(ctx context.Context) (*x509.CertPool, error) {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		roots, err := look(ctx, files, "reading "+path, func() (*x509.CertPool, error) { return readRootsFile(path) })
		if err != nil {
			return nil, errorf(ErrCAFile, "Options.CAFile (APPONLY_CA_FILE): %w", err)
		}
		return roots, nil
	}))
	return c.(*http.Client)
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

// readRoots reads certificates in PEM, or DER. One that cannot be read is left
// out, as in the system's roots: there is always one in a large bundle. Nothing is
// left out because of an editor's byte order mark, indentation or line breaks,
// which package pem silently stumbles over.
func readRoots(b []byte) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	if certs, err := x509.ParseCertificates(b); err == nil && len(certs) > 0 {
		for _, c := range certs {
			roots.AddCert(c)
		}
		return roots, nil
	}
	b = bytes.ReplaceAll(withoutBOM(b), []byte("\r"), []byte("\n"))
	var clean []byte
	for line := range bytes.Lines(b) {
		clean = append(append(clean, bytes.TrimSpace(withoutBOM(line))...), '\n')
	}
	var found int
	var unreadable error
	for block, rest := pem.Decode(clean); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		var cert *x509.Certificate
		var first asn1.RawValue // behind it OpenSSL keeps what it trusts the certificate for
		_, err := asn1.Unmarshal(block.Bytes, &first)
		if err == nil {
			cert, err = x509.ParseCertificate(first.FullBytes)
		}
		if err != nil {
			unreadable = err
			continue
		}
		roots.AddCert(cert)
		found++
	}
	switch {
	case found > 0:
		return roots, nil
	case len(bytes.TrimSpace(clean)) == 0:
		return nil, errors.New("is empty")
	case unreadable != nil:
		return nil, fmt.Errorf("has no certificate that can be read: %w", unreadable)
	}
	return nil, errors.New("has no certificate in PEM")
}
