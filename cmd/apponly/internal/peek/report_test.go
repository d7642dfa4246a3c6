// SPDX-License-Identifier: MIT

package peek_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/peek"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

var update = flag.Bool("update", false, "write testdata/*.txt anew")

var now = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

// made is a token with a header and claims, and a signature that is none.
func made(header, claims string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(claims)) + "." + secret
}

const rs256 = `{"typ":"JWT","alg":"RS256","kid":"aKey"}`

// of an app whose claims are completed by those that are given.
func ofApp(more string) string {
	return made(rs256, `{"aud":"33333333-3333-4333-8333-333333333333","iss":"https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0",`+
		`"iat":1935400000,"nbf":1935400000,"exp":1935405000,"azp":"22222222-2222-4222-8222-222222222222","azpacr":"1","oid":"o","sub":"o",`+
		`"tid":"11111111-1111-4111-8111-111111111111","ver":"2.0"`+more+`}`)
}

var tokens = map[string]struct {
	token   string
	at      time.Time
	screen  screen.Screen
	appOnly string // yes, no or null
}{
	"app-only":      {ofApp(`,"idtyp":"app","roles":["Orders.Read","Orders.Write"]`), at(1935401234), screen.Screen{}, "yes"},
	"narrow":        {ofApp(`,"idtyp":"app","roles":["Orders.Read","Orders.Write"]`), at(1935401234), screen.Screen{Width: 40}, "yes"},
	"colours":       {ofApp(`,"idtyp":"app"`), at(1935401234), screen.Screen{Width: 100, Colours: true}, "yes"},
	"no-idtyp":      {ofApp(""), at(1935404999), screen.Screen{}, "yes"},
	"expired":       {ofApp(`,"roles":["Orders.Read"]`), at(1935405000 + 90061), screen.Screen{}, "yes"},
	"not-yet-valid": {ofApp(`,"roles":["Orders.Read"]`), at(1935400000 - 60), screen.Screen{}, "yes"},
	"of-a-user":     {ofApp(`,"scp":"User.Read","name":"\u001b[31mMallory\u202e"`), at(1935401234), screen.Screen{}, "no"},
	"of-an-agent":   {made(rs256, `{"aud":"a","sub":"x","oid":"y"}`), now, screen.Screen{}, "no"},
	"other-issuer":  {made(`{"alg":"HS256"}`, `{"aud":["a","b"],"iss":"https://issuer.test","iss":"https://other.test","n":1.5,"o":{"a":null}}`), now, screen.Screen{}, "null"},
	"encrypted":     {strings.Join([]string{made(`{"alg":"RSA-OAEP","enc":"A256CBC-HS512","kid":"aKey"}`, ""), "b", "c"}, "."), now, screen.Screen{}, "null"},
}

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

func TestInspect(t *testing.T) {
	for name, tt := range tokens {
		r, err := peek.Inspect("Authorization: Bearer "+tt.token+"\n", tt.at)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := "null"
		if r.AppOnly != nil {
			got = map[bool]string{true: "yes", false: "no"}[*r.AppOnly]
		}
		if got != tt.appOnly || r.Because == "" || len(r.Warnings) == 0 {
			t.Errorf("%s: app-only %s, want %s; because %q, warnings %q", name, got, tt.appOnly, r.Because, r.Warnings)
		}
		text := r.Text(tt.screen, tt.at)
		asJSON, err := json.Marshal(r)
		if err != nil || strings.Contains(text+string(asJSON), secret) {
			t.Errorf("%s: %v, or the signature is shown:\n%s\n%s", name, err, text, asJSON)
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || text != string(want) {
			t.Errorf("%s: %v, got:\n%s\nwant:\n%s", name, err, text, want)
		}
	}
}

func TestInspectGarbage(t *testing.T) {
	for _, text := range []string{"", "opaque", "a.b.c", "Bearer", `{"access_token":"x"}`, "\x00\x01", strings.Repeat(".", 1000)} {
		if r, err := peek.Inspect(text, now); err == nil {
			t.Errorf("%q: %+v, want an error", text, r)
		}
	}
}
