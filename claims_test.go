// SPDX-License-Identifier: MIT

package apponly_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/apponly/apponly"
)

// The claims of a challenge are between the API and Entra: whatever they are they
// arrive as they were, with cp1 among them if the client declares it.
func TestClaimsArriveAsTheyAre(t *testing.T) {
	const cp1 = `"xms_cc":{"values":["cp1"]}`
	for _, tc := range []struct {
		claims string
		merged string // with Options.CAE; "": refused
	}{
		{`{}`, `{"access_token":{` + cp1 + `}}`},
		{`{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`, `{"access_token":{` + cp1 + `,"nbf":{"essential":true,"value":"1604106651"}}}`},
		{`{"access_token":null}`, `{"access_token":{` + cp1 + `}}`},
		{`{"access_token":{}}`, `{"access_token":{` + cp1 + `}}`},
		{`{ "id_token" : {"a":null} , "access_token" : { } }`, `{ "id_token" : {"a":null} , "access_token" : {` + cp1 + ` } }`},
		{`{"access_token":{"xms_cc":{"values":["cp1"]}}}`, `{"access_token":{"xms_cc":{"values":["cp1"]}}}`},
		{`{"access_token":{"xms_cc":{"values":["cp2"]}}}`, `{"access_token":{"xms_cc":{"values":["cp1","cp2"]}}}`},
		{`{"access_token":{"xms_cc":{"values":[ "cp2" , "cp1" ]}}}`, `{"access_token":{"xms_cc":{"values":[ "cp2" , "cp1" ]}}}`},
		{`{"access_token":{"xms_cc":{"essential":true}}}`, `{"access_token":{"xms_cc":{"values":["cp1"],"essential":true}}}`},
		{`{"access_token":{"xms_cc":null,"a":1}}`, `{"access_token":{"xms_cc":{"values":["cp1"]},"a":1}}`},
		{`{"access_token":{"xms_cc":"cp2"}}`, `{"access_token":{"xms_cc":{"values":["cp1"]}}}`},
		{`{"access_token":{"xms_cc":{"values":[]}}}`, `{"access_token":{"xms_cc":{"values":["cp1"]}}}`},
		{`{"access_token":{"n":{"value":9007199254740993}}}`, `{"access_token":{` + cp1 + `,"n":{"value":9007199254740993}}}`},
		{`{"n":123456789012345678901234567890.10e-7,"access_token":{"b":1.0,"a":"<&>\u00e9"}}`, `{"n":123456789012345678901234567890.10e-7,"access_token":{` + cp1 + `,"b":1.0,"a":"<&>\u00e9"}}`},
		{`{"access_token":{"a":1},"access_token":{"b":2}}`, `{"access_token":{"a":1},"access_token":{` + cp1 + `,"b":2}}`},
		{`{"access_token":"all"}`, ""},
		{`{"access_token":[]}`, ""},
	} {
		for _, cae := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				opts := s.options()
				opts.CAE = cae
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
				if err != nil {
					t.Fatal(err)
				}
				var got string
				s.setFault(func(r *http.Request) (*http.Response, error) {
					got = formOf(r).Get("claims")
					return status(200, `{"token_type":"Bearer","expires_in":3600,"access_token":"a.b.c"}`)(r)
				})
				_, err = c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Claims: tc.claims})
				want := tc.claims
				if cae {
					want = tc.merged
				}
				if want == "" {
					wantKind(t, err, apponly.ErrRequestMalformed, "access_token")
				} else if err != nil {
					t.Errorf("CAE %t, %s: %v", cae, tc.claims, err)
				}
				if got != want {
					t.Errorf("CAE %t, %s is sent as %s, want %s", cae, tc.claims, got, want)
				}
			})
		}
	}
}
