// SPDX-License-Identifier: MIT

package spiffeassertion_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/spiffeassertion"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

var withSpire = flag.Bool("spire", false, "build a SPIRE server and agent, and test with them")

// A workload with an identity of a real SPIRE gets access tokens. The emulator
// knows the keys that SPIRE's discovery provider publishes, as Entra would.
func TestSpire(t *testing.T) {
	if !*withSpire {
		t.Skip("takes minutes to build: run with -spire")
	}
	s := startSpire(t, `jwt_issuer = "`+issuerURL+`"
		jwt_key_type = "rsa-2048"`)
	source := s.source()
	entra := entratest.New(t)
	if _, err := entra.AddIssuer(issuerURL, s.keys()); err != nil {
		t.Fatal(err)
	}
	trust(entra, workerID)
	client := newClient(t, entra, spiffeassertion.New(source, nil), nil)
	if _, err := client.Token(t.Context(), entra.API().Scope()); err != nil {
		t.Error(err)
	}

	other := spiffeassertion.New(source, &spiffeassertion.Options{Subject: spiffeid.RequireFromString(otherID)})
	_, err := newClient(t, entra, other, nil).Token(t.Context(), entra.API().Scope())
	if want := otherID + " is not registered for this process"; !errors.Is(err, apponly.ErrCredentialUnavailable) || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("of an identity that is not registered: %v, want %s", err, want)
	}
}

// What SPIRE does by default is not what Entra wants, and the error says which
// setting to change.
func TestSpireDefaults(t *testing.T) {
	if !*withSpire {
		t.Skip("takes minutes to build: run with -spire")
	}
	for name, tc := range map[string]struct{ settings, want string }{
		"no settings": {"", "has no issuer: set jwt_issuer"},
		"RSA alone":   {`jwt_key_type = "rsa-2048"`, "has no issuer: set jwt_issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			source := startSpire(t, tc.settings).source()
			_, err := spiffeassertion.New(source, nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "api://AzureADTokenExchange"})
			if !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("Assertion: %v, want %s", err, tc.want)
			}
		})
	}
}

// source waits until the agent serves this process.
func (s *spire) source() *workloadapi.JWTSource {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	source, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr("unix://"+s.dir+"/agent.sock")))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { source.Close() })
	return source
}

// keys returns what the discovery provider publishes: Entra would read it at the
// issuer's URL.
func (s *spire) keys() (jwks []byte) {
	s.t.Helper()
	s.start("oidc-discovery-provider", "-config", s.write("discovery.conf", fmt.Sprintf(spireDiscoveryConf, s.dir)))
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.dir+"/discovery.sock")
	}}}
	defer client.CloseIdleConnections()
	eventually(s.t, func() error {
		resp, err := client.Get("http://oidc.example.org/keys")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		jwks, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return err
	})
	return jwks
}
