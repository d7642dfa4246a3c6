// SPDX-License-Identifier: MIT

package verify_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"

	"github.com/apponly/apponly/verify"
)

func algorithmAttacks() []attack {
	k, two := newSigner("k1"), newSigner("k2")
	var all []attack
	for _, alg := range []any{
		"none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS384", "RS512", "PS384", "PS512", "ES256", "ES512", "EdDSA", "RS1", "RSA-OAEP", "dir",
		"rs256", "Rs256", "ps256", "RS256 ", " RS256", "RS256\x00", "RS256,none", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
		256, 0, true, null, []string{"RS256"}, fields{"RS256": 1}, nil,
	} {
		all = append(all, attack{name: fmt.Sprintf("alg %v %T", alg, alg), token: k.headed(fields{"alg": alg}), want: verify.ErrAlgorithm})
	}
	header := func(k *signer, alg string) string {
		return b64(marshal(with(k.header(), fields{"alg": alg}))) + "." + b64(marshal(claims(nil)))
	}
	mac := func(secret []byte) string {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(header(k, "HS256")))
		return header(k, "HS256") + "." + b64(m.Sum(nil))
	}
	public := must(x509.MarshalPKIXPublicKey(&k.PublicKey))
	rs, ps := header(k, "RS256"), header(k, "PS256")
	return append(all, []attack{
		{name: "none without a signature", token: header(k, "none") + ".", want: verify.ErrAlgorithm},
		{name: "the public key as an HMAC secret, PEM", token: mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), want: verify.ErrAlgorithm},
		{name: "the public key as an HMAC secret, DER", token: mac(public), want: verify.ErrAlgorithm},
		{name: "the public key as an HMAC secret, n", token: mac([]byte(b64(k.N.Bytes()))), want: verify.ErrAlgorithm},
		{name: "RS256 in escapes", token: k.sign(`{"alg":"\u0052S256","kid":"k1"}`, claims(nil))},
		{name: "ps256", token: ps + "." + b64(k.ps256(ps, rsa.PSSSaltLengthEqualsHash))},
		{name: "PS256 with an RS256 signature", token: k.headed(fields{"alg": "PS256"}), want: verify.ErrSignature},
		{name: "RS256 with a PS256 signature", token: rs + "." + b64(k.ps256(rs, rsa.PSSSaltLengthEqualsHash)), want: verify.ErrSignature},
		{name: "PS256 without salt", token: ps + "." + b64(k.ps256(ps, 0)), want: verify.ErrSignature},
		{name: "PS256 with the longest salt", token: ps + "." + b64(k.ps256(ps, rsa.PSSSaltLengthAuto)), want: verify.ErrSignature},
		{name: "RS256 by a key for it", token: two.named("rs256").token(claims(nil))},
		{name: "RS256 by a key for PS256", token: two.named("ps256").token(claims(nil)), want: verify.ErrSignature},
		{name: "RS256 by a key for RS512", token: two.named("rs512").token(claims(nil)), want: verify.ErrSignature},
	}...)
}

func headerAttacks() []attack {
	k, evil := newSigner("k1"), newSigner(evilKey)
	var all []attack
	add := func(name, token string, want verify.Kind) {
		all = append(all, attack{name: name, token: token, want: want})
	}
	for name, values := range map[string][]any{
		"crit": {[]string{"exp"}, []string{"b64"}, []string{}, "exp", null}, "b64": {false, true, null}, "zip": {"DEF", "", null},
		"cty": {"JWT", "json", "", null}, "typ": {"JWE", "ID", "", "application/at+jwt", "at+jwt ", "JWT\x00", "dpop+jwt", 1, null, []string{"JWT"}},
	} {
		for _, v := range values {
			add(fmt.Sprintf("%s %v %T", name, v, v), k.headed(fields{name: v}), verify.ErrMalformed)
		}
		upper := strings.ToUpper(name[:1]) + name[1:]
		add(upper, k.headed(fields{upper: "JWT"}), verify.ErrMalformed)
	}
	for _, typ := range []any{nil, "JWT", "jwt", "Jwt", "at+jwt", "AT+JWT"} {
		add(fmt.Sprintf("typ %v", typ), k.headed(fields{"typ": typ}), "")
	}
	for name, v := range map[string]any{
		"jku": "https://evil.example/keys", "x5u": "https://evil.example/chain", "jwk": evil.entry(), "x5c": []string{"MIIC"}, "x5t": "theirs",
		"x5t#S256": "theirs", "nonce": "n", "epk": fields{}, "iss": "https://evil.example", "foo": 1e300,
	} {
		add("ignored "+name, k.headed(fields{name: v}), "")
		add("believed "+name, evil.sign(with(k.header(), fields{name: v}), claims(nil)), verify.ErrSignature)
	}
	for name, header := range map[string]string{
		"alg twice, the good one last": `{"alg":"none","alg":"RS256","kid":"k1"}`, "alg twice, the good one first": `{"alg":"RS256","alg":"none","kid":"k1"}`,
		"kid twice": `{"alg":"RS256","kid":"k2","kid":"k1"}`, "unknown twice": `{"alg":"RS256","kid":"k1","a":1,"a":1}`, "crit in escapes": `{"alg":"RS256","kid":"k1","\u0063rit":["exp"]}`,
		"alg in escapes beside the right one": `{"alg":"RS256","\u0061lg":"none","kid":"k1"}`, "Alg beside": `{"alg":"RS256","Alg":"none","kid":"k1"}`, "ALG alone": `{"ALG":"RS256","kid":"k1"}`,
		"KID beside": `{"alg":"RS256","kid":"k1","KID":"k2"}`, "kid with the Kelvin sign": "{\"alg\":\"RS256\",\"kid\":\"k1\",\"\u212aid\":\"k2\"}",
		"list": `[{"alg":"RS256","kid":"k1"}]`, "string": `"RS256"`, "null": `null`, "empty": ``, "no members": `{}`, "cut": `{"alg":"RS256","kid":"k1"`, "two": `{"alg":"RS256","kid":"k1"}{}`,
		"byte order mark": "\xef\xbb\xbf" + `{"alg":"RS256","kid":"k1"}`, "comment": `{"alg":"RS256",/**/"kid":"k1"}`, "invalid UTF-8": "{\"alg\":\"RS256\",\"kid\":\"k1\",\"a\":\"\xff\"}",
		"deep": `{"alg":"RS256","kid":"k1","a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`,
	} {
		want := verify.ErrMalformed
		if name == "no members" {
			want = verify.ErrAlgorithm
		}
		add(name, k.sign(header, claims(nil)), want)
	}
	add("blanks", k.sign(" {\t\"alg\" :\r\n\"RS256\" , \"kid\": \"k1\" } ", claims(nil)), "")
	add("a header of 300 bytes", k.headed(fields{"foo": strings.Repeat("x", 300)}), "")
	return all
}

func keyAttacks() []attack {
	k, two, evil := newSigner("k1"), newSigner("k2"), newSigner(evilKey)
	var all []attack
	add := func(name, token string, want verify.Kind) {
		all = append(all, attack{name: name, token: token, want: want})
	}
	for _, kid := range []any{nil, "", null, 1, true, []string{"k1"}, fields{"kid": "k1"}, longKeyID + "k", json.RawMessage(`"k1\ud800"`)} {
		add(fmt.Sprintf("kid %.20v %T", kid, kid), k.headed(fields{"kid": kid}), verify.ErrMalformed)
	}
	for _, kid := range []string{"K1", "k1 ", "k1\x00", "k", "../../../../../dev/null", "https://evil.example/k1", "' OR 1=1 --", "k1\r\nX: y", "{tenantid}", evilKey, "k1,k2", "\u212a1"} {
		add("kid "+kid, k.named(kid).token(claims(nil)), verify.ErrUnknownKey)
	}
	add("kid of 128 bytes", two.named(longKeyID).token(claims(nil)), "")
	add("kid in escapes", k.sign(`{"alg":"RS256","kid":"\u006b\u0031"}`, claims(nil)), "")
	add("x5t_only", k.headed(fields{"kid": nil, "x5t": "k1"}), verify.ErrMalformed)
	add("unknown key", evil.token(claims(nil)), verify.ErrUnknownKey)
	add("own key under a known name", evil.named("k1").token(claims(nil)), verify.ErrSignature)
	add("another key's name", k.named("k2").token(claims(nil)), verify.ErrSignature)
	for _, kid := range []string{"government", "enc", "signs", "ec"} {
		add("key "+kid, two.named(kid).token(claims(nil)), verify.ErrUnknownKey)
		add("key "+kid+", v1", two.named(kid).token(claimsV1(nil)), verify.ErrUnknownKey)
	}
	add("key of 1024 bits", tiny().token(claims(nil)), verify.ErrUnknownKey)
	// Storm-0558: a key is its issuer's, whatever the document it is in.
	for _, kid := range []string{"consumers", "theirs", "v1form", "elsewhere"} {
		add("key "+kid, two.named(kid).token(claims(nil)), verify.ErrIssuer)
		add("key "+kid+", v1", two.named(kid).token(claimsV1(nil)), verify.ErrIssuer)
	}
	for _, kid := range []string{"ours", "noissuer", "camel", "nouse", "verifies"} {
		add("key "+kid, two.named(kid).token(claims(nil)), "")
		add("key "+kid+", v1", two.named(kid).token(claimsV1(nil)), "")
	}
	add("duplicate_kid, the first", k.named("twice").token(claims(nil)), "")
	add("duplicate_kid, the second", two.named("twice").token(claims(nil)), "")
	add("duplicate_kid, the one for signatures", k.named("half").token(claims(nil)), "")
	add("duplicate_kid, the other one", two.named("half").token(claims(nil)), verify.ErrSignature)
	add("duplicate_kid, neither", evil.named("twice").token(claims(nil)), verify.ErrSignature)
	return all
}

// signatureAttacks are changes of what is signed, and of the signature.
func signatureAttacks() []attack {
	k := newSigner("k1")
	good := k.token(claims(nil))
	p := strings.Split(good, ".")
	foreign := strings.Split(k.headed(fields{"foo": 1}), ".")
	grown := b64(marshal(claims(fields{"roles": []string{"Orders.Read", "Admin"}})))
	sig := k.rs256(p[0] + "." + p[1])
	with := func(sig []byte) string { return p[0] + "." + p[1] + "." + b64(sig) }
	bigger := new(big.Int).Add(new(big.Int).SetBytes(sig), k.N)
	var all []attack
	for name, token := range map[string]string{
		"payload changed":      p[0] + "." + grown + "." + p[2],
		"header of another":    foreign[0] + "." + p[1] + "." + p[2],
		"signature of another": p[0] + "." + p[1] + "." + foreign[2],
		"no signature":         p[0] + "." + p[1] + ".",
		"one byte less":        with(sig[:255]), "one byte more": with(append(sig[:256:256], 0)), "a zero in front": with(append([]byte{0}, sig...)),
		"twice":  with(append(sig[:256:256], sig...)),
		"zeroes": with(make([]byte, 256)), "one": with(append(make([]byte, 255), 1)), "the modulus": with(k.N.Bytes()),
		"plus the modulus": with(bigger.Bytes()), "512 bytes": with(make([]byte, 512)), "513 bytes": with(make([]byte, 513)), "10,000 bytes": with(make([]byte, 10000)),
		"of the payload alone": p[0] + "." + p[1] + "." + b64(k.rs256(p[1])),
		"of the bytes":         p[0] + "." + p[1] + "." + b64(k.rs256(string(marshal(claims(nil))))),
	} {
		all = append(all, attack{name: name, token: token, want: verify.ErrSignature})
	}
	return all
}
