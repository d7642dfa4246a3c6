// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"

	"github.com/apponly/apponly/entratest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// A healthServer is the health service over TLS, in memory, for who brings a
// good token.
type healthServer struct {
	*grpc.Server
	roots    *x509.CertPool
	listener *bufconn.Listener
}

func newHealthServer(sts *entratest.Server, api *entratest.Resource) *healthServer {
	verify := verifier(sts, api)
	authenticate := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		token, ok := strings.CutPrefix(strings.Join(md.Get("authorization"), ", "), "Bearer ")
		if !ok {
			return nil, status.Error(codes.Unauthenticated, "no token")
		}
		if _, err := verify(token); err != nil {
			return nil, status.Error(codes.Unauthenticated, err.Error())
		}
		return next(ctx, req)
	}
	cert, roots := localTLS()
	s := &healthServer{
		Server: grpc.NewServer(
			grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})),
			grpc.UnaryInterceptor(authenticate)),
		roots:    roots,
		listener: bufconn.Listen(64 << 10),
	}
	healthpb.RegisterHealthServer(s.Server, health.NewServer())
	go s.Serve(s.listener) // until Stop
	return s
}

func (s *healthServer) dial(ctx context.Context, _ string) (net.Conn, error) {
	return s.listener.DialContext(ctx)
}
