// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
)

// A healthServer is a health service over TLS, in memory, for whom an authenticator
// lets in.
type healthServer struct {
	*grpc.Server
	roots    *x509.CertPool
	listener *bufconn.Listener
}

func newHealthServer(a authenticator, service healthpb.HealthServer) *healthServer {
	cert, roots := localTLS()
	s := &healthServer{
		Server: grpc.NewServer(
			grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})),
			grpc.UnaryInterceptor(a.unary), grpc.StreamInterceptor(a.stream)),
		roots:    roots,
		listener: bufconn.Listen(64 << 10),
	}
	healthpb.RegisterHealthServer(s.Server, service)
	go s.Serve(s.listener) // until Stop
	return s
}

func (s *healthServer) dial(ctx context.Context, _ string) (net.Conn, error) {
	return s.listener.DialContext(ctx)
}
