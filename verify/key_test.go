// SPDX-License-Identifier: MIT

package verify_test

import (
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/verify"
)

// What an entry of the key document must be, and that an odd one costs no other. The
// key is named odd, and has signed a token.
func TestKeyEntry(t *testing.T) {
	k := newSigner("odd")
	const unknownTwice = 2 // a name that is not known is fetched for again
	for name, tc := range map[string]struct {
		changes fields // to the entry that Entra publishes
		signer  *signer
		want    error
		fetches int64 // 0: 1
	}{
		"as Entra writes it": {},
		"x5c is ignored":     {changes: fields{"x5c": []string{"MIIgarbage", ""}, "x5t": 5, "x5t#S256": fields{}}},
		"nested":             {changes: fields{"more": fields{"kid": "x", "keys": []any{fields{"use": "enc"}}}}},

		"EC":                     {changes: fields{"kty": "EC"}, want: verify.ErrUnknownKey},
		"oct":                    {changes: fields{"kty": "oct", "k": "c2VjcmV0"}, want: verify.ErrUnknownKey},
		"no kty":                 {changes: fields{"kty": nil}, want: verify.ErrUnknownKey},
		"kty in lower case":      {changes: fields{"kty": "rsa"}, want: verify.ErrUnknownKey},
		"kty a number":           {changes: fields{"kty": 1}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"no kid":                 {changes: fields{"kid": nil}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"empty kid":              {changes: fields{"kid": ""}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"kid a number":           {changes: fields{"kid": 5}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"kid too long":           {changes: fields{"kid": strings.Repeat("k", 129)}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"kid in upper case":      {changes: fields{"kid": "ODD"}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"for encryption":         {changes: fields{"use": "enc"}, want: verify.ErrUnknownKey},
		"no use":                 {changes: fields{"use": nil}},
		"use null":               {changes: fields{"use": null}},
		"use a list":             {changes: fields{"use": []string{"sig"}}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"to sign":                {changes: fields{"key_ops": []string{"sign"}}, want: verify.ErrUnknownKey},
		"to encrypt":             {changes: fields{"key_ops": []string{"encrypt", "wrapKey"}}, want: verify.ErrUnknownKey},
		"to verify":              {changes: fields{"key_ops": []string{"sign", "verify"}}},
		"no operations":          {changes: fields{"key_ops": []string{}}},
		"operations as text":     {changes: fields{"key_ops": "verify"}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"the algorithm":          {changes: fields{"alg": "RS256"}},
		"another algorithm":      {changes: fields{"alg": "PS256"}, want: verify.ErrSignature},
		"an unknown algorithm":   {changes: fields{"alg": "RSA-OAEP"}, want: verify.ErrSignature},
		"algorithm none":         {changes: fields{"alg": "none"}, want: verify.ErrSignature},
		"the algorithm a number": {changes: fields{"alg": 256}, want: verify.ErrUnknownKey, fetches: unknownTwice},

		"no n":                     {changes: fields{"n": nil}, want: verify.ErrUnknownKey},
		"n empty":                  {changes: fields{"n": ""}, want: verify.ErrUnknownKey},
		"n a number":               {changes: fields{"n": 5}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"n not base64":             {changes: fields{"n": "!" + number(2048)}, want: verify.ErrUnknownKey},
		"n zero":                   {changes: fields{"n": b64(make([]byte, 256))}, want: verify.ErrUnknownKey},
		"n of 1024 bits":           {changes: fields{"n": number(1024)}, want: verify.ErrUnknownKey},
		"n of 2047 bits":           {changes: fields{"n": number(2047)}, want: verify.ErrUnknownKey},
		"n of 4097 bits":           {changes: fields{"n": number(4097)}, want: verify.ErrUnknownKey},
		"n of 8192 bits":           {changes: fields{"n": number(8192)}, want: verify.ErrUnknownKey},
		"n of half a megabyte":     {changes: fields{"n": number(4 << 20)}, want: verify.ErrUnknownKey},
		"n even":                   {changes: fields{"n": b64(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())}, want: verify.ErrUnknownKey},
		"n with padding":           {changes: fields{"n": b64(k.N.Bytes()) + "=="}},
		"n with a zero before it":  {changes: fields{"n": b64(append([]byte{0}, k.N.Bytes()...))}},
		"n of another key":         {changes: fields{"n": number(2048)}, want: verify.ErrSignature},
		"n of 4096 bits":           {signer: newLargest()},
		"no e":                     {changes: fields{"e": nil}, want: verify.ErrUnknownKey},
		"e a number":               {changes: fields{"e": 65537}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"e 0":                      {changes: fields{"e": b64([]byte{0})}, want: verify.ErrUnknownKey},
		"e 1":                      {changes: fields{"e": b64([]byte{1})}, want: verify.ErrUnknownKey},
		"e 2":                      {changes: fields{"e": b64([]byte{2})}, want: verify.ErrUnknownKey},
		"e even":                   {changes: fields{"e": b64([]byte{1, 0, 2})}, want: verify.ErrUnknownKey},
		"e of 32 bits":             {changes: fields{"e": b64([]byte{0x80, 0, 0, 1})}, want: verify.ErrUnknownKey},
		"e of 64 bits":             {changes: fields{"e": b64([]byte{1, 0, 0, 0, 0, 0, 0, 1})}, want: verify.ErrUnknownKey},
		"e 3":                      {signer: newExponent()},
		"another e":                {changes: fields{"e": b64([]byte{3})}, want: verify.ErrSignature},
		"e not base64":             {changes: fields{"e": "AQ B"}, want: verify.ErrUnknownKey},
		"of the US government":     {changes: fields{"cloud_instance_name": "microsoftonline.us"}, want: verify.ErrUnknownKey},
		"of China":                 {changes: fields{"cloud_instance_name": "partner.microsoftonline.cn"}, want: verify.ErrUnknownKey},
		"of a cloud in upper case": {changes: fields{"cloud_instance_name": "MICROSOFTONLINE.COM"}, want: verify.ErrUnknownKey},
		"of no cloud":              {changes: fields{"cloud_instance_name": nil}},
		"the cloud a number":       {changes: fields{"cloud_instance_name": 1}, want: verify.ErrUnknownKey, fetches: unknownTwice},
		"issuer a number":          {changes: fields{"issuer": 1}, want: verify.ErrUnknownKey, fetches: unknownTwice},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := k
				if tc.signer != nil {
					k = tc.signer.named("odd")
				}
				good := newSigner("good")
				for _, entries := range [][]any{{good.entry(), with(k.entry(), tc.changes)}, {with(k.entry(), tc.changes), good.entry()}} {
					s := serveKeys(entries...)
					v := open(t, s, byRole, verify.Options{})
					for range 3 {
						expect(t, v, good.token(claims(nil)), nil)
						expect(t, v, k.token(claims(nil)), tc.want)
						time.Sleep(11 * time.Second) // half a minute all in all
					}
					expect(t, v, k.token(claims(nil)), tc.want)
					s.fetched(t, max(tc.fetches, 1))
				}
			})
		})
	}
}

// A key signs for the issuer that its entry names, whatever the version of the token.
func TestKeyIssuer(t *testing.T) {
	k := newSigner("k1")
	for issuer, want := range map[string]error{
		host + "/{tenantid}/v2.0":     nil,
		host + "/{TenantId}/v2.0":     nil,
		host + "/{TENANTID}/v2.0":     nil,
		host + "/" + tenant + "/v2.0": nil,
		"":                            nil,

		host + "/" + other + "/v2.0":                                verify.ErrIssuer,
		host + "/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0":         verify.ErrIssuer, // the consumers'
		host + "/" + strings.ToUpper(tenant) + "/v2.0/":             verify.ErrIssuer,
		host + "/{tenantid}":                                        verify.ErrIssuer,
		host + "/{tenantid}/v2.0/":                                  verify.ErrIssuer,
		host + "/{tenantid}/v1.0":                                   verify.ErrIssuer,
		host + "/{tenantid}{tenantid}/v2.0":                         verify.ErrIssuer,
		host + "/{tenant}/v2.0":                                     verify.ErrIssuer,
		host + "/{tenantid":                                         verify.ErrIssuer,
		host + "/{":                                                 verify.ErrIssuer,
		"{tenantid}":                                                verify.ErrIssuer,
		"https://login.microsoftonline.us/{tenantid}/v2.0":          verify.ErrIssuer,
		"https://sts.windows.net/{tenantid}/":                       verify.ErrIssuer,
		"https://login.microsoftonline.com.evil/{tenantid}/v2.0":    verify.ErrIssuer,
		"HTTPS://LOGIN.MICROSOFTONLINE.COM/{tenantid}/v2.0":         verify.ErrIssuer,
		strings.Repeat("Ⱥ", 40) + "{tenantid}":                      verify.ErrIssuer, // longer in lower case
		strings.Repeat("K", 40) + host + "/{tenantıd}/v2.0":         verify.ErrIssuer, // shorter
		host + "/{tenantid}/v2.0" + strings.Repeat("x", 1<<16):      verify.ErrIssuer,
		host + "/" + tenant[:35] + "/v2.0":                          verify.ErrIssuer,
		host + "/" + strings.Replace(tenant, "1", "{", 1) + "/v2.0": verify.ErrIssuer,
	} {
		v := open(t, serveKeys(with(k.entry(), fields{"issuer": issuer})), byRole, verify.Options{})
		for version, token := range map[string]string{"v2": k.token(claims(nil)), "v1": k.token(claimsV1(nil))} {
			if err := expect(t, v, token, want); t.Failed() {
				t.Fatalf("%s, issuer %.200s: %v", version, issuer, err)
			}
		}
	}
	v := open(t, serveKeys(with(k.entry(), fields{"issuer": nil})), byRole, verify.Options{})
	expect(t, v, k.token(claims(nil)), nil)
}

// Several keys of one name are all tried, up to a number.
func TestKeysOfOneName(t *testing.T) {
	k, good := newSigner("k1"), newSigner("good")
	token := k.token(claims(nil))
	right := k.entry()
	wrong := func(i int) fields { return with(right, fields{"n": number(2049 + i)}) }
	for name, tc := range map[string]struct {
		entries []any
		want    error
	}{
		"the second":              {[]any{wrong(0), right}, nil},
		"the fourth":              {[]any{wrong(0), wrong(1), wrong(2), right}, nil},
		"the fifth":               {[]any{wrong(0), wrong(1), wrong(2), wrong(3), right}, verify.ErrSignature},
		"behind copies":           {[]any{wrong(0), wrong(0), wrong(0), wrong(0), right}, nil},
		"for another issuer, too": {[]any{with(right, fields{"issuer": host + "/" + other + "/v2.0"}), right}, nil},
		"and for another issuer":  {[]any{right, with(right, fields{"issuer": host + "/" + other + "/v2.0"})}, nil},
		"for other issuers only": {[]any{
			with(right, fields{"issuer": host + "/" + other + "/v2.0"}), with(right, fields{"issuer": "https://login.microsoftonline.us/{tenantid}/v2.0"}),
		}, verify.ErrIssuer},
		"for another cloud, too": {[]any{with(right, fields{"cloud_instance_name": "microsoftonline.us"}), right}, nil},
		"for encryption, too":    {[]any{right, with(right, fields{"use": "enc"})}, nil},
		"with another algorithm": {[]any{with(right, fields{"alg": "PS256"}), with(right, fields{"alg": "RS256"})}, nil},
		"of other clouds only":   {[]any{with(right, fields{"cloud_instance_name": "microsoftonline.us"}), with(right, fields{"cloud_instance_name": "x"})}, verify.ErrUnknownKey},
		"behind one not a key":   {[]any{fields{"kid": "k1"}, right}, nil},
		"behind many of no use":  {[]any{with(right, fields{"use": "enc"}), with(right, fields{"use": "enc", "n": number(2050)}), right}, nil},
		"other keys only":        {[]any{wrong(0), wrong(1)}, verify.ErrSignature},
	} {
		s := serveKeys(append(tc.entries, good.entry())...)
		v := open(t, s, byRole, verify.Options{})
		for range 2 {
			if err := expect(t, v, token, tc.want); t.Failed() {
				t.Fatalf("%s: %v", name, err)
			}
		}
		s.fetched(t, 1)
	}
}
