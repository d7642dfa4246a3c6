// SPDX-License-Identifier: MIT

package spiffeassertion_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/spiffeassertion"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func trust(entra *entratest.Server, subject string) {
	entra.App().AddFederatedCredential(entratest.FederatedCredential{
		Issuer: issuerURL, Subject: subject, Audience: entra.Cloud().ExchangeAudience(),
	})
}

func newClient(t *testing.T, entra *entratest.Server, src apponly.AssertionSource, change func(*apponly.Options)) *apponly.Client {
	t.Helper()
	opts := &apponly.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(), Cache: new(apponly.Cache)}
	if change != nil {
		change(opts)
	}
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Federated(src), opts)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A workload gets access tokens, and an SVID is fetched for each token request.
func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		entra.SetTokenLifetime(time.Hour)
		trust(entra, workerID)
		agent := newAgent(entra)
		client := newClient(t, entra, spiffeassertion.New(agent.open(t), nil), nil)
		for i := range 3 {
			for range 2 {
				if _, err := client.Token(t.Context(), entra.API().Scope()); err != nil {
					t.Fatal(err)
				}
			}
			if got := agent.asked(); got != i+1 {
				t.Errorf("an SVID was fetched %d times for %d token requests", got, i+1)
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

// Which identity the assertion is of, and for whom.
func TestChoice(t *testing.T) {
	second := workloadapi.WithDefaultJWTSVIDPicker(func(svids []*jwtsvid.SVID) *jwtsvid.SVID {
		for _, svid := range svids {
			if svid.Hint == "hint of "+otherID {
				return svid
			}
		}
		return nil
	})
	for name, tc := range map[string]struct {
		opts              *spiffeassertion.Options
		source            []workloadapi.JWTSourceOption
		subject, audience string
	}{
		"default":  {nil, nil, workerID, "api://AzureADTokenExchange"},
		"audience": {&spiffeassertion.Options{Audience: "api://other"}, nil, workerID, "api://other"},
		"subject":  {&spiffeassertion.Options{Subject: spiffeid.RequireFromString(otherID)}, nil, otherID, "api://AzureADTokenExchange"},
		"hint":     {nil, []workloadapi.JWTSourceOption{second}, otherID, "api://AzureADTokenExchange"},
	} {
		t.Run(name, func(t *testing.T) {
			agent := newAgent(entratest.New(t))
			token, err := spiffeassertion.New(agent.open(t, tc.source...), tc.opts).
				Assertion(t.Context(), apponly.AssertionRequest{Audience: "api://AzureADTokenExchange"})
			if err != nil {
				t.Fatal(err)
			}
			if svid, err := jwtsvid.ParseInsecure(token, []string{tc.audience}); err != nil || svid.ID.String() != tc.subject {
				t.Errorf("Assertion: of %v, %v, want %s for %s", svid, err, tc.subject, tc.audience)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	denied := status.Error(codes.PermissionDenied, "no identity issued")
	for name, tc := range map[string]struct {
		change func(*fakeAgent)
		opts   spiffeassertion.Options
		want   string
	}{
		"not registered": {func(a *fakeAgent) { a.ids = nil }, spiffeassertion.Options{},
			`no identity is registered for this process: "spire-server entry create"`},
		"another registered": {func(*fakeAgent) {}, spiffeassertion.Options{Subject: spiffeid.RequireFromString("spiffe://example.org/x")},
			"spiffe://example.org/x is not registered for this process"},
		"denied":           {func(a *fakeAgent) { a.fault = denied }, spiffeassertion.Options{}, "no identity issued"},
		"unavailable":      {func(a *fakeAgent) { a.fault = status.Error(codes.Unavailable, "connection\nrefused") }, spiffeassertion.Options{}, "the agent does not answer: is it running, and at this address (SPIFFE_ENDPOINT_SOCKET)?: connection refused"},
		"no such call":     {func(a *fakeAgent) { a.fault = status.Error(codes.Unimplemented, "unknown method") }, spiffeassertion.Options{}, "the agent has no JWT-SVIDs: unknown method"},
		"limited":          {func(a *fakeAgent) { a.fault = status.Error(codes.ResourceExhausted, "rate limited") }, spiffeassertion.Options{}, "the agent has too many requests: share one source: rate limited"},
		"invalid":          {func(a *fakeAgent) { a.fault = status.Error(codes.InvalidArgument, "bad audience") }, spiffeassertion.Options{}, "the agent refuses the request: bad audience"},
		"internal":         {func(a *fakeAgent) { a.fault = status.Error(codes.Internal, "out of\x00luck") }, spiffeassertion.Options{}, "SPIFFE Workload API: out of luck"},
		"no issuer":        {func(a *fakeAgent) { a.svid = unsigned("RS256", nil) }, spiffeassertion.Options{}, "the JWT-SVID of " + workerID + " has no issuer: set jwt_issuer at the SPIRE server"},
		"expired":          {func(a *fakeAgent) { a.svid = unsigned("RS256", map[string]any{"exp": 1}) }, spiffeassertion.Options{}, "token has expired"},
		"another audience": {func(a *fakeAgent) { a.svid = unsigned("RS256", map[string]any{"aud": "b"}) }, spiffeassertion.Options{}, "expected audience"},
		"not a JWT":        {func(a *fakeAgent) { a.svid = "canary" }, spiffeassertion.Options{}, "unable to parse JWT token"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent := newAgent(entratest.New(t))
				source := agent.open(t)
				agent.set(tc.change)
				_, err := spiffeassertion.New(source, &tc.opts).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"})
				if !errors.Is(err, apponly.ErrCredentialUnavailable) || !strings.Contains(fmt.Sprint(err), tc.want) {
					t.Errorf("Assertion: %v, want %s", err, tc.want)
				}
				if strings.Contains(fmt.Sprintf("%+v", err), "canary") {
					t.Errorf("Assertion: %+v has the token", err)
				}
			})
		})
	}
}

// What a client says of it has room for the remedy.
func TestClientError(t *testing.T) {
	entra := entratest.New(t)
	agent := newAgent(entra)
	agent.ids = nil
	_, err := newClient(t, entra, spiffeassertion.New(agent.open(t), nil), nil).Token(t.Context(), entra.API().Scope())
	want := `federated assertion: SPIFFE Workload API: no identity is registered for this process: "spire-server entry create" with selectors that match it, then wait for the agent's sync: no identity issued;`
	if !errors.Is(err, apponly.ErrCredentialUnavailable) || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("Token: %v, want %s", err, want)
	}
	if status.Code(errors.Unwrap(err)) == codes.OK {
		t.Error("the agent's answer is not to be had")
	}
	if entra.TokenRequests() != 0 {
		t.Error("Entra was asked")
	}
}

func TestUnusable(t *testing.T) {
	if _, err := spiffeassertion.New(nil, nil).Assertion(t.Context(), apponly.AssertionRequest{}); fmt.Sprint(err) != "SPIFFE Workload API: the JWTSource is nil" {
		t.Errorf("of no source: %v", err)
	}
	agent := newAgent(entratest.New(t))
	nothing := workloadapi.WithDefaultJWTSVIDPicker(func([]*jwtsvid.SVID) *jwtsvid.SVID { return nil })
	source := agent.open(t, nothing)
	if _, err := spiffeassertion.New(source, nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"}); err == nil || !strings.Contains(err.Error(), "the source's picker chose no SVID") {
		t.Errorf("of a picker that chooses none: %v", err)
	}
	source.Close()
	if _, err := spiffeassertion.New(source, nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"}); err == nil || !strings.Contains(err.Error(), "source is closed") {
		t.Errorf("of a closed source: %v", err)
	}
}

// An agent that is restarted is waited for, and no longer than the context lasts.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := newAgent(entratest.New(t))
		src := spiffeassertion.New(agent.open(t), nil)
		agent.set(func(a *fakeAgent) { a.fault = status.Error(codes.Unavailable, "restarting") })
		began := time.Now()
		time.AfterFunc(time.Second, func() { agent.set(func(a *fakeAgent) { a.fault = nil }) })
		if _, err := src.Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"}); err != nil || agent.asked() != 3 {
			t.Errorf("after %v and %d requests: %v", time.Since(began), agent.asked(), err)
		}

		agent.set(func(a *fakeAgent) { a.fault = status.Error(codes.Unavailable, "restarting") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err := src.Assertion(ctx, apponly.AssertionRequest{Audience: "a"})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// Equal sources share tokens, others do not.
func TestEqual(t *testing.T) {
	entra := entratest.New(t)
	one, two := newAgent(entra).open(t), newAgent(entra).open(t)
	src := spiffeassertion.New(one, nil)
	if src != spiffeassertion.New(one, &spiffeassertion.Options{}) {
		t.Error("sources built alike are not equal")
	}
	if src == spiffeassertion.New(two, nil) || src == spiffeassertion.New(one, &spiffeassertion.Options{Subject: spiffeid.RequireFromString(otherID)}) {
		t.Error("sources built otherwise are equal")
	}
}

// Many tenants at once ask the agent once, or a few times.
func TestManyTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := newAgent(entratest.New(t))
		agent.delay = 100 * time.Millisecond
		source := spiffeassertion.New(agent.open(t), nil)
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if _, err := source.Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := agent.asked(); n > 3 {
			t.Errorf("the agent was asked %d times", n)
		}
	})
}
