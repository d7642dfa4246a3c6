// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"

	"github.com/apponly/apponly/verify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// An authenticator lets calls in that bear a token which a verifier accepts. Its
// methods are interceptors of a gRPC server.
type authenticator struct {
	verifier *verify.Verifier
	log      *slog.Logger // is told what callers are not
}

func (a authenticator) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := a.authenticate(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// stream looks at the token when the stream begins. A handler that serves one for
// hours should end it at the caller's ExpiresAt.
func (a authenticator) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := a.authenticate(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, authenticated{stream, ctx})
}

type authenticated struct {
	grpc.ServerStream
	ctx context.Context
}

func (s authenticated) Context() context.Context { return s.ctx }

type callerKey struct{}

// callerFrom returns the caller of a handler's context.
func callerFrom(ctx context.Context) *verify.Caller {
	caller, _ := ctx.Value(callerKey{}).(*verify.Caller)
	return caller
}

// authenticate returns ctx with the caller in it. Of two authorizations neither
// counts: a proxy may have looked at the other one.
func (a authenticator) authenticate(ctx context.Context, method string) (context.Context, error) {
	token := ""
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) == 1 {
		if scheme, rest, _ := strings.Cut(values[0], " "); strings.EqualFold(scheme, "Bearer") {
			token = rest
		}
	}
	caller, err := a.verifier.Verify(ctx, token)
	if err == nil {
		return context.WithValue(ctx, callerKey{}, caller), nil
	}
	a.log.InfoContext(ctx, "call refused", "method", method, "reason", err)
	switch {
	case errors.Is(err, verify.ErrForbidden):
		return nil, status.Error(codes.PermissionDenied, "the app may not call this API")
	case errors.Is(err, verify.ErrUnavailable):
		return nil, status.Error(codes.Unavailable, "the access token cannot be checked now")
	}
	return nil, status.Error(codes.Unauthenticated, "the access token is not valid for this API")
}

// An ordersServer knows who is calling.
type ordersServer struct {
	healthpb.UnimplementedHealthServer
}

func (ordersServer) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	caller := callerFrom(ctx)
	if !caller.HasRole("Data.Read.All") {
		return nil, status.Error(codes.PermissionDenied, "the app may not read")
	}
	fmt.Println("called by an app that has a", caller.ClientAuth)
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func Example_grpcServer() {
	sts, client := emulated()
	defer sts.Close()
	verifier, err := verify.New(sts.API().AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Roles: []string{"Data.Read.All", "Data.Write.All"}},
	}, &verify.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()}) // nil for the real Entra
	if err != nil {
		log.Fatal(err)
	}
	auth := authenticator{verifier, slog.New(slog.DiscardHandler)}
	// grpc.NewServer(grpc.UnaryInterceptor(auth.unary), grpc.StreamInterceptor(auth.stream), …)
	server := newHealthServer(auth, ordersServer{})
	defer server.Stop()

	other := sts.Tenant().NewResource("api://invoices")
	for _, scope := range []string{sts.API().Scope(), other.Scope()} {
		conn, err := grpc.NewClient("passthrough:///example.com",
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: server.roots})),
			grpc.WithPerRPCCredentials(perRPC{client, scope}),
			grpc.WithContextDialer(server.dial))
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		_, err = healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
		fmt.Println(err)
	}
	// Output:
	// called by an app that has a secret
	// <nil>
	// rpc error: code = Unauthenticated desc = the access token is not valid for this API
}
