// SPDX-License-Identifier: MIT

package spiffeassertion_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

const (
	issuerURL = "https://oidc.example.org"
	workerID  = "spiffe://example.org/ns/prod/sa/worker"
	otherID   = "spiffe://example.org/ns/prod/sa/other"
)

// A fakeAgent serves the Workload API as SPIRE's agent does, in memory. Its SVIDs
// are signed by an issuer that the emulator of Entra knows.
type fakeAgent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	issuer *entratest.Issuer

	mu       sync.Mutex
	ids      []string // that the workload has, in order
	svid     string   // in place of a signed one, if set
	fault    error    // in place of an answer, if set
	delay    time.Duration
	requests []*workload.JWTSVIDRequest
}

func newAgent(entra *entratest.Server) *fakeAgent {
	return &fakeAgent{issuer: entra.NewIssuer(issuerURL), ids: []string{workerID, otherID}}
}

func (a *fakeAgent) set(change func(*fakeAgent)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// asked returns how often an SVID was asked for.
func (a *fakeAgent) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests)
}

func (a *fakeAgent) FetchJWTSVID(ctx context.Context, req *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	time.Sleep(a.delay)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, req)
	md, _ := metadata.FromIncomingContext(ctx)
	switch {
	case !slices.Equal(md.Get("workload.spiffe.io"), []string{"true"}):
		return nil, status.Error(codes.InvalidArgument, "security header missing from request")
	case len(req.GetAudience()) != 1 || req.GetAudience()[0] == "":
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	case a.fault != nil:
		return nil, a.fault
	}
	resp := &workload.JWTSVIDResponse{}
	for _, id := range a.ids {
		if req.GetSpiffeId() != "" && req.GetSpiffeId() != id {
			continue
		}
		token := a.svid
		if token == "" {
			token = a.issuer.Token(entratest.Claims{Subject: id, Audience: req.GetAudience()[0], ExpiresAt: time.Now().Add(5 * time.Minute)})
		}
		resp.Svids = append(resp.Svids, &workload.JWTSVID{SpiffeId: id, Svid: token, Hint: "hint of " + id})
	}
	if len(resp.Svids) == 0 {
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	return resp, nil
}

// FetchJWTBundles sends one bundle and never another. A JWTSource waits for it.
func (a *fakeAgent) FetchJWTBundles(_ *workload.JWTBundlesRequest, stream grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	err := stream.Send(&workload.JWTBundlesResponse{Bundles: map[string][]byte{"spiffe://example.org": []byte(`{"keys":[]}`)}})
	if err == nil {
		<-stream.Context().Done()
	}
	return err
}

// open starts the agent and opens a source that asks it.
func (a *fakeAgent) open(t *testing.T, options ...workloadapi.JWTSourceOption) *workloadapi.JWTSource {
	t.Helper()
	source, stop, err := a.serve(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return source
}

// serve is what open does, and returns what ends it.
func (a *fakeAgent) serve(ctx context.Context, options ...workloadapi.JWTSourceOption) (*workloadapi.JWTSource, func(), error) {
	server, listener := grpc.NewServer(), bufconn.Listen(64<<10)
	workload.RegisterSpiffeWorkloadAPIServer(server, a)
	go server.Serve(listener) // until Stop
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	source, err := workloadapi.NewJWTSource(ctx, append(options, workloadapi.WithClientOptions(
		workloadapi.WithAddr("unix:///agent.sock"),
		workloadapi.WithDialOptions(grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials())),
	))...)
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	return source, func() { source.Close(); server.Stop() }, nil
}

// unsigned makes a JWT that nobody has signed. go-spiffe looks at its form alone.
func unsigned(alg string, claims map[string]any) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	all := map[string]any{"sub": workerID, "aud": []string{"a"}, "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(all, claims)
	return part(map[string]any{"alg": alg, "kid": "1", "typ": "JWT"}) + "." + part(all) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
}
