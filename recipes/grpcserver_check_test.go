// SPDX-License-Identifier: MIT

package recipes_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A called server keeps the callers of its handlers.
type called struct {
	healthpb.UnimplementedHealthServer
	mu      sync.Mutex
	callers []string
}

func (s *called) note(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers = append(s.callers, callerFrom(ctx).ClientID)
}

func (s *called) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s.note(ctx)
	return &healthpb.HealthCheckResponse{}, nil
}

func (s *called) Watch(_ *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	s.note(stream.Context())
	return stream.Send(&healthpb.HealthCheckResponse{})
}

// tokenOf returns a token of an app that sts has made.
func tokenOf(t *testing.T, sts *entratest.Server, tenant *entratest.Tenant, clientID, secret string, api *entratest.Resource) string {
	t.Helper()
	client, err := apponly.New(tenant.ID(), clientID, apponly.Secret(secret), &apponly.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	token, err := client.Token(t.Context(), api.Scope())
	if err != nil {
		t.Fatal(err)
	}
	return token.Value()
}

// Whatever is wrong, the code is that of its group, and the text tells nothing else.
func TestGRPCServerCodes(t *testing.T) {
	sts := entratest.New(t)
	api := sts.API()
	good := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.Secret(), api)
	other := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.Secret(), sts.Tenant().NewResource(""))
	stranger := sts.Tenant().NewApp()
	const secret = "a-secret-of-the-stranger"
	stranger.AddSecret(secret, sts.Now().AddDate(1, 0, 0))
	unlisted := tokenOf(t, sts, sts.Tenant(), stranger.ClientID(), secret, api)
	elsewhere := sts.AddTenant()
	elsewhere.Install(sts.App())
	elsewhere.Provide(api)
	foreign := tokenOf(t, sts, elsewhere, sts.App().ClientID(), sts.Secret(), api)

	unauthenticated := status.New(codes.Unauthenticated, "the access token is not valid for this API")
	for _, test := range []struct {
		name   string
		values []string
		want   *status.Status
		logged string
	}{
		{"good", []string{"Bearer " + good}, nil, ""},
		{"scheme in small letters", []string{"bearer " + good}, nil, ""},
		{"none", nil, unauthenticated, "no_token"},
		{"twice the same", []string{"Bearer " + good, "Bearer " + good}, unauthenticated, "no_token"},
		{"a good one and another", []string{"Bearer " + good, "Bearer x"}, unauthenticated, "no_token"},
		{"another scheme", []string{"Basic " + good}, unauthenticated, "no_token"},
		{"no scheme", []string{good}, unauthenticated, "no_token"},
		{"no JWT", []string{"Bearer x"}, unauthenticated, "malformed"},
		{"with more behind", []string{"Bearer " + good + ", x"}, unauthenticated, "malformed"},
		{"another API", []string{"Bearer " + other}, unauthenticated, "audience"},
		{"another tenant", []string{"Bearer " + foreign}, unauthenticated, "tenant"},
		{"another app", []string{"Bearer " + unlisted}, status.New(codes.PermissionDenied, "the app may not call this API"), "not_allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			service := new(called)
			server := newHealthServer(authenticator{newVerifier(sts, api), slog.New(slog.NewTextHandler(&log, nil))}, service)
			wantCalls(t, server, test.values, test.want)
			server.Stop() // waits for the handlers
			if test.want == nil {
				if got := strings.Join(service.callers, " "); got != sts.App().ClientID()+" "+sts.App().ClientID() {
					t.Errorf("the handlers had the callers %q", got)
				}
			} else if len(service.callers) != 0 {
				t.Error("a handler was called")
			}
			if n := strings.Count(log.String(), "reason.kind="+test.logged+" "); test.logged != "" && n != 2 || strings.Contains(log.String(), "eyJ") {
				t.Errorf("the log says %s, want %s twice", &log, test.logged)
			}
		})
	}
}

// wantCalls makes a unary call and one that is a stream.
func wantCalls(t *testing.T, server *healthServer, authorization []string, want *status.Status) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///example.com",
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: server.roots})),
		grpc.WithContextDialer(server.dial))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	for _, v := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
	}
	_, unary := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	for name, err := range map[string]error{"Check": unary, "Watch": err} {
		got := status.Convert(err)
		if got.Code() != want.Code() || got.Message() != want.Message() || len(got.Details()) != 0 {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

// Who may be right is not told to be wrong.
func TestGRPCServerWithoutKeys(t *testing.T) {
	sts := entratest.New(t)
	good := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.Secret(), sts.API())
	if _, err := sts.AddFault(entratest.Fault{Endpoint: "keys", Status: http.StatusServiceUnavailable}); err != nil {
		t.Fatal(err)
	}
	server := newHealthServer(authenticator{newVerifier(sts, sts.API()), slog.New(slog.DiscardHandler)}, new(called))
	defer server.Stop()
	wantCalls(t, server, []string{"Bearer " + good}, status.New(codes.Unavailable, "the access token cannot be checked now"))
	wantCalls(t, server, []string{"Bearer x"}, status.New(codes.Unauthenticated, "the access token is not valid for this API"))
}
