// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestGRPCStatus(t *testing.T) {
	sts := entratest.New(t)
	other := sts.Tenant().NewResource("")
	server := newHealthServer(authenticator{newVerifier(sts, sts.API()), slog.New(slog.DiscardHandler)}, health.NewServer())
	defer server.Stop()
	for _, test := range []struct {
		name     string
		tokenLeg func(cancel func()) *http.Client
		scope    string
		want     codes.Code
		text     string
	}{
		{"a token", nil, sts.API().Scope(), codes.OK, ""},
		{"a token for something else", nil, other.Scope(), codes.Unauthenticated, "not valid for this API"},
		{"refused by Entra", nil, "api://nothing/.default", codes.Unauthenticated, "AADSTS500011"},
		{"throttled by Entra", func(func()) *http.Client { return answer(http.StatusTooManyRequests, "") }, sts.API().Scope(), codes.Unavailable, "HTTP 429"},
		{"the deadline passes", func(func()) *http.Client { return unanswered() }, sts.API().Scope(), codes.DeadlineExceeded, ""},
		{"the caller gives up", func(cancel func()) *http.Client {
			return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				cancel()
				return unanswered().Transport.RoundTrip(r)
			})}
		}, sts.API().Scope(), codes.Canceled, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := time.Minute
			if test.want == codes.DeadlineExceeded {
				timeout = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			tokenLeg := sts.HTTPClient()
			if test.tokenLeg != nil {
				tokenLeg = test.tokenLeg(cancel)
			}
			conn, err := grpc.NewClient("passthrough:///example.com",
				grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: server.roots})),
				grpc.WithPerRPCCredentials(perRPC{newClient(sts, tokenLeg), test.scope}),
				grpc.WithContextDialer(server.dial))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			start := time.Now()
			_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
			if status.Code(err) != test.want || err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("Check = %v, want %v with %q", err, test.want, test.text)
			}
			if took := time.Since(start); took > 15*time.Second { // a token request may take 30 s
				t.Errorf("Check returned after %v", took)
			}
		})
	}
}

func TestGRPCRefusesPlaintext(t *testing.T) {
	sts := entratest.New(t)
	_, err := grpc.NewClient("passthrough:///example.com",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(perRPC{newClient(sts, sts.HTTPClient()), sts.API().Scope()}))
	if err == nil || !strings.Contains(err.Error(), "transport level security") {
		t.Errorf("NewClient without TLS = %v, want it refused", err)
	}
}
