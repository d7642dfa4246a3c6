// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/apponly/apponly"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// A perRPC is the credentials.PerRPCCredentials of a connection: each call gets
// a token, and none waits longer than its own deadline.
//
// A call that the server refuses is not made again with another token.
type perRPC struct {
	client *apponly.Client
	scope  string
}

// GetRequestMetadata returns errors with a status of its own, as gRPC would say
// Unauthenticated for all of them: a deadline that passed and an Entra that is
// away for a moment are something else to who retries.
func (c perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := c.client.Token(ctx, c.scope)
	switch {
	case err == nil:
		return map[string]string{"authorization": "Bearer " + token.Value()}, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, apponly.ErrTransient):
		return nil, status.Error(codes.Unavailable, err.Error())
	default:
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
}

// RequireTransportSecurity makes gRPC refuse to send a token without TLS.
func (perRPC) RequireTransportSecurity() bool { return true }

// The token goes to whatever the connection is to, so the name in its
// certificate is what keeps it from others.
func Example_grpc() {
	sts, client := emulated()
	defer sts.Close()
	// It asks each caller for a token; see grpcserver_test.go.
	server := newHealthServer(authenticator{newVerifier(sts, sts.API()), slog.Default()}, health.NewServer())
	defer server.Stop()

	conn, err := grpc.NewClient("passthrough:///example.com",
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: server.roots})),
		grpc.WithPerRPCCredentials(perRPC{client, sts.API().Scope()}),
		grpc.WithContextDialer(server.dial), // for the server in memory only
	)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		cancel()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer.Status)
	}
	fmt.Println("token requests:", sts.TokenRequests())
	// Output:
	// SERVING
	// SERVING
	// SERVING
	// token requests: 1
}
