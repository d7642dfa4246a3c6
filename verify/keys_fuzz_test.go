// SPDX-License-Identifier: MIT

package verify_test

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/apponly/apponly/verify"
)

// Whatever a key document is, it is read without harm, what is taken from it is
// bounded, and what is taken is a key that crypto/rsa verifies with.
func FuzzKeys(f *testing.F) {
	k := newSigner("k1") // one is enough: each worker makes it anew
	for _, seed := range []string{
		string(marshal(fields{"keys": []any{k.entry()}})),
		string(marshal(fields{"keys": []any{k.entry(), with(k.entry(), fields{"use": "enc", "kid": "k2", "alg": "RSA-OAEP", "key_ops": []string{"encrypt"}})}})),
		"\xef\xbb\xbf" + `{"KEYS":[null,5,"",{},[],{"kid":"a","kty":"EC","crv":"P-256","x":"","y":""}]}`,
		`{"keys":[{"kty":"RSA","kid":"a","n":"` + number(2048) + `","e":"Aw","issuer":"ȺȺȺȺ{TENANTID}"}],"keys":[{"kty":"RSA","kid":"a","n":"AQ==","e":"AQAB"}]}`,
		`{"keys":[{"kty":"RSA","kid":"a","n":"` + number(4096) + `","e":"f////w","cloud_instance_name":"microsoftonline.com"}]}`,
		`{"keys":null}`, "null", "[]", "{", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		names, usable, err := verify.ParseKeys(b)
		if (err == nil) != (len(usable) > 0) || names > 1000 || len(usable) > names {
			t.Fatalf("%d names, %d keys, %v", names, len(usable), err)
		}
		for _, pub := range usable[:min(len(usable), 3)] {
			if size := pub.N.BitLen(); size < 2048 || size > 4096 || pub.E < 3 {
				t.Fatalf("a key of %d bits, e %d", size, pub.E)
			}
			// Any other error says that the key is none.
			if err := rsa.VerifyPKCS1v15(pub, crypto.SHA256, make([]byte, 32), make([]byte, pub.Size())); !errors.Is(err, rsa.ErrVerification) {
				t.Fatalf("e %d, n %x: %v", pub.E, pub.N, err)
			}
		}
	})
}
