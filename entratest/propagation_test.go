// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

// TestPropagation has everything that can be added unseen for half a minute.
func TestPropagation(t *testing.T) {
	const delay = 30 * time.Second
	rows := map[string]struct {
		code int
		add  func(s *entratest.Server) edit
	}{
		"secret": {7000215, func(s *entratest.Server) edit {
			secret := s.App().NewSecret(time.Now().Add(time.Hour))
			return func(r *wrongRequest) { r.form.Set("client_secret", secret) }
		}},
		"certificate": {700027, func(s *entratest.Server) edit {
			cert := s.App().NewCertificate(time.Now(), time.Now().Add(time.Hour))
			return withAssertion(s, signedWith(s, cert, cert.Key, nil))
		}},
		"certificate with x5c": {700030, func(s *entratest.Server) edit {
			cert := s.App().NewCertificate(time.Now(), time.Now().Add(time.Hour))
			return withAssertion(s, signedWith(s, cert, cert.Key, func(tok *jwt.Token, _ jwt.MapClaims) { tok.Header["x5c"] = cert.Leaf.Raw }))
		}},
		"federated credential": {700211, func(s *entratest.Server) edit {
			issuer := s.NewIssuer("https://new.test")
			fc := entratest.FederatedCredential{Issuer: issuer.URL(), Subject: "x", Audience: s.Cloud().ExchangeAudience()}
			s.App().AddFederatedCredential(fc)
			return withAssertion(s, issuer.Token(entratest.Claims{Subject: fc.Subject, Audience: fc.Audience}))
		}},
		"app": {700016, func(s *entratest.Server) edit {
			app := s.Tenant().NewApp()
			app.AddSecret("x", time.Now().Add(time.Hour))
			return func(r *wrongRequest) { r.form.Set("client_id", app.ClientID()); r.form.Set("client_secret", "x") }
		}},
		"app installed": {7000229, func(s *entratest.Server) edit {
			s.SetPropagation(0)
			tenant := s.AddTenant()
			tenant.Provide(s.API())
			s.SetPropagation(delay)
			tenant.Install(s.App())
			return func(r *wrongRequest) { r.tenant = tenant.ID() }
		}},
		"grant": {501051, func(s *entratest.Server) edit {
			s.API().Revoke(s.Tenant(), s.App(), role)
			s.Tenant().SetAssignmentRequired(s.API(), true)
			s.API().Grant(s.Tenant(), s.App(), role)
			return func(*wrongRequest) {}
		}},
		"resource": {500011, func(s *entratest.Server) edit {
			api := s.Tenant().NewResource("https://new.test")
			return func(r *wrongRequest) { r.form.Set("scope", api.Scope()) }
		}},
	}
	for name, tt := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := entratest.New(t)
				s.SetPropagation(delay)
				send := tt.add(s)
				row := refusalCase{edit: send, code: tt.code, status: status(tt.code), error: oauth(tt.code)}
				time.Sleep(delay - time.Nanosecond)
				row.run(t, s)
				time.Sleep(time.Nanosecond)
				r := &wrongRequest{tenant: s.Tenant().ID(), form: secretForm(s)}
				send(r)
				if got := postForm(t, s, r.tenant, r.form); got.Status != http.StatusOK {
					t.Errorf("after the delay: %d %s", got.Status, got.Description)
				}
			})
		})
	}
}

// status and oauth are what the numbers in rows come with.
func status(code int) int {
	if oauth(code) == badClient {
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

func oauth(code int) string {
	switch code {
	case 700016:
		return badApp
	case 500011:
		return badResource
	case 501051:
		return badGrant
	}
	return badClient
}

// TestPropagationOfGrants has what was granted before stay, also if it is granted
// again.
func TestPropagationOfGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		expect := func(want string) {
			t.Helper()
			if got := fmt.Sprint(claimsOf(t, tokenOf(s))["roles"]); got != want {
				t.Errorf("roles %s, want %s", got, want)
			}
		}
		s.SetPropagation(time.Minute)
		s.API().Grant(s.Tenant(), s.App(), "Data.Read.All", "Data.Write.All")
		expect("[Data.Read.All]")
		time.Sleep(time.Minute)
		expect("[Data.Read.All Data.Write.All]")
		s.API().Revoke(s.Tenant(), s.App(), "Data.Read.All", "Data.Write.All")
		expect("<nil>")
	})
}

// TestPropagationFollowsTheClock has Entra's clock, not the host's, decide.
func TestPropagationFollowsTheClock(t *testing.T) {
	s := entratest.New(t)
	s.SetPropagation(time.Hour)
	secret := s.App().NewSecret(time.Now().Add(24 * time.Hour))
	form := secretForm(s)
	form.Set("client_secret", secret)
	for _, tt := range []struct {
		offset time.Duration
		status int
	}{{0, 401}, {59 * time.Minute, 401}, {61 * time.Minute, 200}} {
		s.SetClockOffset(tt.offset)
		if got := postForm(t, s, s.Tenant().ID(), form); got.Status != tt.status {
			t.Errorf("clock %v ahead: %d, want %d", tt.offset, got.Status, tt.status)
		}
		if ahead := time.Until(s.Now()); (ahead - tt.offset).Abs() > time.Minute {
			t.Errorf("Now is %v ahead, want %v", ahead, tt.offset)
		}
	}
}
