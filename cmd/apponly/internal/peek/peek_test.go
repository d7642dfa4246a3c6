// SPDX-License-Identifier: MIT

package peek_test

import (
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/internal/peek"
)

// {"alg":"RS256"} and {"aud":"x"}
const header, claims, secret = "eyJhbGciOiJSUzI1NiJ9", "eyJhdWQiOiJ4In0", "c2lnbmF0dXJl"

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		token, want string // in the error
	}{
		"signed":          {header + "." + claims + "." + secret, ""},
		"unsigned":        {header + "." + claims + ".", ""},
		"encrypted":       {header + ".a.b.c." + secret, ""},
		"nothing":         {"", "there is no token"},
		"opaque":          {secret, "it has 1"},
		"two parts":       {header + "." + claims, "it has 2"},
		"four parts":      {header + "." + claims + ".." + secret, "it has 4"},
		"two tokens":      {header + "." + claims + "." + secret + "\n" + header, "white space"},
		"an answer":       {`{"access_token":"` + secret + `"}`, "it is JSON"},
		"header":          {"!." + claims + "." + secret, "header is not base64url"},
		"header, padded":  {header + "=." + claims + "." + secret, "header is not base64url"},
		"header, no JSON": {secret + "." + claims + "." + secret, "header is not a JSON object"},
		"payload":         {header + "." + secret + "." + secret, "payload is not a JSON object"},
		"an array":        {header + ".W10." + secret, "payload is not a JSON object"},
		"no payload":      {header + ".." + secret, "payload is not a JSON object"},
		"huge":            {header + "." + strings.Repeat("a", 1<<20) + "." + secret, "larger than a megabyte"},
	} {
		got, err := peek.Parse(tt.token)
		switch {
		case tt.want == "" && (err != nil || string(got.Header) != `{"alg":"RS256"}` || got.Encrypted() != (name == "encrypted")):
			t.Errorf("%s: %+v, %v", name, got, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret)):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestTrim(t *testing.T) {
	for in, want := range map[string]string{
		" a.b.c\n":                       "a.b.c",
		`"a.b.c"`:                        "a.b.c",
		"Bearer a.b.c":                   "a.b.c",
		"authorization: bearer  a.b.c\n": "a.b.c",
		"":                               "",
	} {
		if got := peek.Trim(in); got != want {
			t.Errorf("Trim(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(header + "." + claims + "." + secret)
	f.Add(header + ".a.b.c." + secret)
	f.Fuzz(func(t *testing.T, token string) {
		got, err := peek.Parse(peek.Trim(token))
		if (err == nil) != (len(got.Header) > 0 && got.Header[0] == '{') {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
