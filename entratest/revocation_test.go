// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestRevokeTokens follows a token through a revocation within one second, which
// is all that the times in a token can tell apart.
func TestRevokeTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		other := s.Tenant().NewApp()
		revoked := func(claims map[string]any) (time.Time, bool) {
			return s.Revoked(s.Tenant().ID(), claims["azp"].(string), time.Unix(int64(claims["iat"].(float64)), 0))
		}
		ask := func(claims string) map[string]any {
			t.Helper()
			form := secretForm(s)
			form.Set("claims", claims)
			got := postForm(t, s, s.Tenant().ID(), form)
			if got.Status != http.StatusOK {
				t.Fatalf("got %d %s", got.Status, got.Description)
			}
			return claimsOf(t, got.AccessToken)
		}

		time.Sleep(300 * time.Millisecond) // a bubble begins on the second
		before := ask("")
		if _, is := revoked(before); is {
			t.Error("a token is revoked before the revocation")
		}
		s.Tenant().RevokeTokens(s.App())
		since, is := revoked(before)
		if !is || since.Before(s.Now()) || since.After(s.Now().Add(time.Second)) {
			t.Errorf("the token got before: revoked = %v, since %v, now %v", is, since, s.Now())
		}
		if _, is := s.Revoked(s.Tenant().ID(), other.ClientID(), s.Now()); is {
			t.Error("another app's tokens are revoked too")
		}

		time.Sleep(300 * time.Millisecond) // still the same second
		if _, is := revoked(ask("")); !is {
			t.Error("a token without the claims, got in the same second, counts")
		}
		if _, is := revoked(ask(`{"access_token":{"nbf":{"essential":true,"value":"1"}}}`)); !is {
			t.Error("a token with the claims of an older challenge, got in the same second, counts")
		}
		for _, value := range []string{strconv.FormatInt(since.Unix(), 10), strconv.Quote(strconv.FormatInt(since.Unix(), 10))} {
			after := ask(fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":%s}}}`, value))
			if _, is := revoked(after); is || after["nbf"] != after["iat"] || after["nbf"].(float64) != float64(since.Unix()) {
				t.Errorf("asked for with nbf %s: revoked = %v, iat %v, nbf %v", value, is, after["iat"], after["nbf"])
			}
		}

		time.Sleep(time.Second)
		late := ask("")
		if _, is := revoked(late); is || late["iat"].(float64) != float64(s.Now().Unix()) {
			t.Errorf("a token of the next second: revoked = %v, iat %v", is, late["iat"])
		}
	})
}

// TestRevokedByState has the changes revoke that do so at Entra.
func TestRevokedByState(t *testing.T) {
	for name, change := range map[string]func(s *entratest.Server){
		"service principal disabled": func(s *entratest.Server) { s.Tenant().SetAppDisabled(s.App(), true) },
		"enabled again": func(s *entratest.Server) {
			s.Tenant().SetAppDisabled(s.App(), true)
			s.Tenant().SetAppDisabled(s.App(), false)
		},
		"app disabled":   func(s *entratest.Server) { s.App().SetDisabled(true) },
		"app removed":    func(s *entratest.Server) { s.App().Remove() },
		"uninstalled":    func(s *entratest.Server) { s.Tenant().Uninstall(s.App()) },
		"tenant removed": func(s *entratest.Server) { s.Tenant().Remove() },
	} {
		t.Run(name, func(t *testing.T) {
			s := entratest.New(t)
			now := s.Now()
			change(s)
			if since, is := s.Revoked(s.Tenant().ID(), s.App().ClientID(), now); !is || !since.After(now) {
				t.Errorf("revoked = %v, since %v, want since after %v", is, since, now)
			}
		})
	}
}

func TestContinuousAccess(t *testing.T) {
	s := entratest.New(t)
	s.API().SetContinuousAccess(true)
	for _, tt := range []struct {
		claims   string
		min, max int
		refresh  bool
	}{
		{"", 3600, 5400, false},
		{`{"access_token":{"xms_cc":{"values":["cp1"]}}}`, 20 * 3600, 28 * 3600, true},
	} {
		form := secretForm(s)
		form.Set("claims", tt.claims)
		got := postForm(t, s, s.Tenant().ID(), form)
		if got.ExpiresIn < tt.min || got.ExpiresIn > tt.max || (got.RefreshIn != nil) != tt.refresh {
			t.Errorf("claims %s: expires_in %d, refresh_in %v", tt.claims, got.ExpiresIn, got.RefreshIn)
		}
		if tt.refresh && *got.RefreshIn != got.ExpiresIn/2 {
			t.Errorf("refresh_in %d of %d, want half", *got.RefreshIn, got.ExpiresIn)
		}
	}
}
