// SPDX-License-Identifier: MIT

package apponly_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/apponly/apponly"
)

// Each form of a challenge brings another token: on a 401 and on a 403.
func TestTransportAnswersChallengesInTheWild(t *testing.T) {
	const ask = `error="insufficient_claims", claims="CLAIMS"`
	for name, test := range map[string]struct {
		status       int
		challenge    string
		claims       bool // are sent
		calls, event int
	}{
		"Graph":                     {401, `Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize, client_id="x", ` + ask, true, 2, 0},
		"Storage":                   {401, `Bearer authorization_uri=https://login.microsoftonline.com/x/oauth2/authorize resource_id=https://storage.azure.com ` + ask, true, 2, 0},
		"semicolons":                {401, `Bearer realm=""; error=Insufficient_Claims; claims=CLAIMS`, true, 2, 0},
		"a revoked session":         {401, `Bearer authorization_uri="https://login.windows.net/", error="invalid_token", claims="CLAIMS"`, true, 2, 0},
		"403":                       {403, `Bearer ` + ask, true, 2, 0},
		"403 for a role":            {403, `Bearer error="insufficient_scope"`, false, 1, 0},
		"403 without a challenge":   {403, "", false, 1, 0},
		"403 that cannot be read":   {403, `Bearer error="insufficient_claims", claims="eyJ`, false, 1, 1},
		"401 that cannot be read":   {401, `Bearer error="insufficient_claims", claims="eyJ`, false, 1, 1},
		"revoked, cannot be read":   {401, `Bearer error="invalid_token", claims="ey=="`, false, 2, 1},
		"401 with a role in it":     {401, `Bearer authorization_uri=https://x.test/ error="invalid_token"`, false, 2, 0},
		"another status with claim": {400, `Bearer ` + ask, false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSTS(t)
			opts := s.options()
			events := counting(opts, apponly.EventChallengeUnreadable)
			c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
			if err != nil {
				t.Fatal(err)
			}
			refused := mustToken(t, c, s.API().Scope()).Value()
			var sent string
			s.setFault(func(r *http.Request) (*http.Response, error) { sent = bodyAgain(r); return nil, nil })
			calls := 0
			h := s.apiClient(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls++; r.Header.Get("Authorization") == "Bearer "+refused {
					w.Header().Set("WWW-Authenticate", strings.ReplaceAll(test.challenge, "CLAIMS", base64.StdEncoding.EncodeToString([]byte(someClaims))))
					w.WriteHeader(test.status)
				}
			}))
			resp, err := h.Get("https://api.test/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if has := strings.Contains(sent, "1768000000"); has != test.claims || calls != test.calls || int(events.Load()) != test.event {
				t.Errorf("claims sent: %t, %d calls, %d events; status %d", has, calls, events.Load(), resp.StatusCode)
			}
		})
	}
}

// A wrapper sets what it does not have.
func TestTransportTakesAnEmptyAuthorizationForNone(t *testing.T) {
	for _, h := range []http.Header{
		{"Authorization": {""}}, {"Authorization": {" \t"}}, {"authorization": {""}}, {"AUTHORIZATION": {"", ""}},
		{"Authorization": {""}, "authorization": {""}, "Accept": {"*/*"}}, {"Authorization": nil}, {"authorization": {}},
	} {
		s := newSTS(t)
		base := &apiRecorder{}
		rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
		req := newRequest(t, "GET", "https://api.test/", nil)
		req.Header = h.Clone()
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		var values []string
		for k, v := range base.sent[0].Header {
			if strings.EqualFold(k, "Authorization") {
				values = append(values, v...)
			}
		}
		if len(values) != 1 || !strings.HasPrefix(values[0], "Bearer ey") {
			t.Errorf("%q: sent with %d values, want the token alone", h, len(values))
		}
	}
	// One value among empty ones is the caller's.
	s := newSTS(t)
	base := &apiRecorder{}
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	req := newRequest(t, "GET", "https://api.test/", nil)
	req.Header = http.Header{"Authorization": {""}, "authorization": {"Basic x"}}
	if resp, err := rt.RoundTrip(req); err != nil || s.requests() != 0 {
		t.Errorf("%v, %v: %d token requests", resp, err, s.requests())
	}
}
