// SPDX-License-Identifier: MIT

package verify_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/inside"
	"github.com/apponly/apponly/verify"
)

// What the command says of a token is what a Verifier goes by.
func TestReadTokenJudgesAsVerify(t *testing.T) {
	s := entratest.New(t)
	v, err := verify.New(s.API().AppID(), []verify.Rule{{Tenant: s.Tenant().ID(), Client: s.App().ClientID()}}, &verify.Options{Cloud: s.Cloud(), HTTPClient: s.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	now := s.Now().Unix()
	claims := func(change map[string]any) map[string]any {
		all := map[string]any{
			"aud": s.API().AppID(), "iss": s.Cloud().Authority() + "/" + s.Tenant().ID() + "/v2.0", "tid": s.Tenant().ID(), "ver": "2.0",
			"azp": s.App().ClientID(), "azpacr": "1", "sub": "o", "oid": "o", "iat": now, "nbf": now, "exp": now + 3600,
		}
		maps.Copy(all, change)
		return all
	}
	for name, tt := range map[string]struct {
		change  map[string]any
		appOnly bool
		because string
	}{
		"plain":                 {nil, true, "sub and oid are the same"},
		"idtyp":                 {map[string]any{"idtyp": "app", "sub": "x"}, true, "idtyp is app"},
		"a user's by idtyp":     {map[string]any{"idtyp": "user"}, false, "idtyp is not app"},
		"a user's by scp":       {map[string]any{"idtyp": "app", "scp": ""}, false, "scp"},
		"another sub":           {map[string]any{"sub": "x"}, false, "not the same"},
		"not proved":            {map[string]any{"azpacr": "0"}, false, "how the app proved itself"},
		"not proved, but idtyp": {map[string]any{"azpacr": "0", "idtyp": "app"}, false, "azpacr or appidacr is 0"},
	} {
		token := s.Sign(nil, claims(tt.change), nil)
		read, err := inside.ReadToken(token)
		if err != nil || read.AppOnly != tt.appOnly || !strings.Contains(read.Because, tt.because) {
			t.Errorf("%s: %+v, %v; want %t because of %q", name, read, err, tt.appOnly, tt.because)
		}
		if _, err := v.Verify(t.Context(), token); (err == nil) != tt.appOnly || err != nil && !errors.Is(err, verify.ErrNotAppOnly) {
			t.Errorf("%s: Verify: %v", name, err)
		}
	}
	if read, err := inside.ReadToken("a.b.c"); !errors.Is(err, verify.ErrMalformed) {
		t.Errorf("%+v, %v, want %v", read, err, verify.ErrMalformed)
	}
}
