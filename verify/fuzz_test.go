// SPDX-License-Identifier: MIT

package verify_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apponly/apponly/verify"
)

// FuzzVerify: what is accepted, everybody reads as the same token.
func FuzzVerify(f *testing.F) {
	k := newSigner("k1")
	f.Add(string(marshal(k.header())), string(marshal(claims(nil))), "")
	f.Add(string(marshal(k.header())), string(marshal(claimsV1(nil))), "")
	f.Add(`{"alg":"RS256","kid":"k1"}`, string(marshal(claims(fields{"idtyp": "app", "sub": "\u00e9\U0001f600", "xms_cc": []string{"CP1"}}))), "")
	f.Add(`{"alg":"RS256","kid":"k1","typ":"at+jwt"}`, strings.Replace(string(marshal(claims(nil))), "Orders", `\u004frders`, 1), "")
	f.Add("", "", k.token(claims(nil)))
	f.Add("", "", "a.b.c.d.e")
	v := setup{opts: verify.Options{Remember: -1}}.open(f)
	entries := keys()
	f.Fuzz(func(t *testing.T, header, payload, token string) {
		if token == "" {
			token = k.sign(header, payload)
		}
		c, err := v.Verify(t.Context(), token)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err == nil {
			if err := secondOpinion(token, c, entries); err != nil {
				t.Fatalf("%q: %v", token, err)
			}
		}
	})
}

// FuzzMembers: what is read, encoding/json reads as the same, and what is not has one
// of the reasons that there are.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		string(marshal(claims(nil))), `{}`, ` {"a" : [1, -0.5e+3, true, false, null, {"b": "\u00e9\ud83d\ude00\n"}]} `, `{"a":1,"a":2}`, `{"\u0061":1}`, `{"a":"\ud800"}`, `{"a":["x","y\\"]}`,
		`{"a":12345678901}`, "{\"a\":\"\xff\"}", `{"a":` + nest("[", "]", 15) + `}`, `[]`, `{"a":1}x`, `{"":""}`, `{"a":01}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > verify.MaxToken {
			return
		}
		read := map[string][]byte{}
		err := verify.Members(b, func(name, value []byte) { read[string(name)] = value })
		var others map[string]json.RawMessage
		valid := json.Unmarshal(b, &others) == nil && others != nil
		switch {
		case err == nil && !valid:
			t.Fatal("encoding/json does not read it")
		case err != nil && valid && utf8.Valid(b) && err.Error() == "not one JSON object" && depth(b) <= 16:
			t.Fatal("encoding/json reads it")
		case err == nil && len(read) != len(others):
			t.Fatalf("%d members, encoding/json has %d", len(read), len(others))
		}
		if err != nil {
			return
		}
		for name, value := range read {
			if !bytes.Equal(value, others[name]) {
				t.Fatalf("%q is %q, encoding/json has %q", name, value, others[name])
			}
			judgeValue(t, value)
		}
	})
}

// depth is that of JSON, or more.
func depth(b []byte) int { return bytes.Count(b, []byte("[")) + bytes.Count(b, []byte("{")) }

func judgeValue(t *testing.T, value []byte) {
	var s string
	if text, ok := verify.Text(value); ok && (json.Unmarshal(value, &s) != nil || s != text) {
		t.Fatalf("%q is %q, encoding/json has %q", value, text, s)
	}
	var n int64
	if seconds, ok := verify.Seconds(value); ok && (json.Unmarshal(value, &n) != nil || n != seconds) {
		t.Fatalf("%q is %d, encoding/json has %d", value, seconds, n)
	}
	var all []string
	if texts, ok := verify.Texts(value); ok && (json.Unmarshal(value, &all) != nil || strings.Join(all, "\x00") != strings.Join(texts, "\x00") || len(all) != len(texts)) {
		t.Fatalf("%q is %q, encoding/json has %q", value, texts, all)
	}
}

// wellFormed is the header of RFC 6750 section 2.1, with a scheme in any letter case.
var wellFormed = regexp.MustCompile(`^(?i:bearer) +([A-Za-z0-9._~+/-]+=*)$`)

// FuzzAuthorization: a token is found where RFC 6750 has one, and nobody gets in with
// a header that is not of its form.
func FuzzAuthorization(f *testing.F) {
	token := newSigner("k1").token(claims(nil))
	for _, s := range []string{"Bearer %", "bearer   %", "BEARER %=", "Bearer\t%", "Basic %", "Bearer", "%", "Bearer %, Bearer %", " Bearer %", "Bearer % ", "Bearer\u00a0%"} {
		f.Add(s)
	}
	h := setup{}.open(f).Middleware(welcome)
	f.Fuzz(func(t *testing.T, header string) {
		header = strings.Replace(header, "%", token, 2)
		found := verify.Bearer(header)
		m := wellFormed.FindStringSubmatch(header)
		if m != nil && found != m[1] {
			t.Fatalf("%q is the token, want %q", found, m[1])
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
		r.Header["Authorization"] = []string{header}
		switch got := answer(h, r); {
		case got == "200\r\n" && (m == nil || m[1] != token):
			t.Fatal("let in")
		case got != "200\r\n" && m != nil && m[1] == token:
			t.Fatal("not let in")
		case got != "200\r\n" && got != noToken && got != invalidToken:
			t.Fatalf("the answer is %q", got)
		}
	})
}
