// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/apponly/apponly/verify"
	"github.com/go-jose/go-jose/v4"
)

// TestSecondOpinion: go-jose signs what package verify accepts, in odd forms that are
// good, too, and verifies it as the same payload.
func TestSecondOpinion(t *testing.T) {
	p := must(newPublisher())
	payload := must(base64.RawURLEncoding.DecodeString(strings.Split(must(p.token(1)), ".")[1]))
	check := must(apponlyVerifier(p, &verify.Options{Remember: -1}))
	var indented bytes.Buffer
	if err := json.Indent(&indented, payload, "\t", "\t"); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is": string(payload), "blanks": indented.String(), "escapes": strings.Replace(string(payload), `"Orders.Read"`, `"\u004frders.Read"`, 1),
		"unknown claims": `{"":1e999,"a":{"tid":1,"b":["\ud83d\ude00",{"":[]}]},` + string(payload[1:]), "long": `{"a":"` + strings.Repeat("x", 9000) + `",` + string(payload[1:]),
	} {
		for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256} {
			o := new(jose.SignerOptions).WithType("at+jwt").WithHeader("x5t", "key").WithHeader("jku", "https://evil.example/keys")
			signer := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: p.key, KeyID: "key"}}, o))
			token := must(must(signer.Sign([]byte(text))).CompactSerialize())
			if err := check(token); err != nil {
				t.Errorf("%s, %s: %v", name, alg, err)
			}
			if read, err := must(jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})).Verify(p.key.Public()); err != nil || string(read) != text {
				t.Errorf("%s, %s: go-jose: %v", name, alg, err)
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
