// SPDX-License-Identifier: MIT

package rediscache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

func tlsConfig(host string) *tls.Config {
	return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
}

// A dialer makes connections that end with their context, the handshake too: that of
// go-redis knows only a limit of its own.
type dialer struct {
	tls    *tls.Config // nil: none
	caFile string
}

func (d dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	config := d.tls
	if d.caFile != "" {
		roots, err := readRoots(d.caFile)
		if err != nil {
			return nil, err
		}
		config = config.Clone()
		config.RootCAs = roots
	}
	raw, err := (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true}}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if config == nil {
		if socket, ok := raw.(syscall.Conn); ok {
			return liveConn{&boundedConn{Conn: raw}, socket}, nil
		}
		return &boundedConn{Conn: raw}, nil
	}
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return &boundedConn{Conn: secured}, nil
}

// A liveConn lets go-redis see that the server has ended an idle connection. Below TLS
// it would take a record of the protocol's for something said.
type liveConn struct {
	*boundedConn
	syscall.Conn
}

// maxCAFile bounds what is read as roots.
const maxCAFile = 1 << 20

func readRoots(path string) (*x509.CertPool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // to open a pipe would wait for a writer
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCAFile))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return roots, nil
}
