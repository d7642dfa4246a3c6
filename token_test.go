// SPDX-License-Identifier: MIT

package apponly_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

func TestTokenText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which begins with the year 2000
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		for _, test := range []struct {
			token apponly.Token
			text  string
		}{
			{apponly.Token{}, "Token{}"},
			{mustToken(t, s.client(t), s.API().Scope()), "Token{[redacted] expires 2000-01-01T01:00:00Z}"},
		} {
			if got := test.token.String(); got != test.text {
				t.Errorf("String() = %q, want %q", got, test.text)
			}
			if got, want := test.token.GoString(), "apponly."+test.text; got != want {
				t.Errorf("GoString() = %q, want %q", got, want)
			}
			if got := test.token.LogValue().String(); got != test.text {
				t.Errorf("LogValue() = %q, want %q", got, test.text)
			}
			var text string
			if b, err := json.Marshal(test.token); err != nil || json.Unmarshal(b, &text) != nil || text != test.text {
				t.Errorf("JSON = %s, %v, want %q", b, err, test.text)
			}
		}
	})
}

func TestZeroToken(t *testing.T) {
	var zero apponly.Token
	if !zero.IsZero() || zero.Value() != "" || !zero.ExpiresOn().IsZero() || !zero.RefreshOn().IsZero() {
		t.Errorf("zero: %t, value %q, expires %v, refresh %v", zero.IsZero(), zero.Value(), zero.ExpiresOn(), zero.RefreshOn())
	}
}
