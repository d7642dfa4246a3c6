// SPDX-License-Identifier: MIT

package verify_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/apponly/apponly/verify"
)

func formAttacks() []attack {
	k := newSigner("k1")
	good := k.token(claims(nil))
	p := strings.Split(good, ".")
	h, payload, sig := p[0], p[1], p[2]
	var all []attack
	for name, token := range map[string]string{
		"a word": "token", "one part": h, "two parts": h + "." + payload, "four parts": good + ".x", "four parts, the last empty": good + ".", "six parts": good + ".x.y.z",
		"dot": ".", "dots": "..", "three dots": "...", "no header": "." + payload + "." + sig, "no payload": h + ".." + sig,
		"reversed":        sig + "." + payload + "." + h,
		"with its scheme": "Bearer " + good, "in quotes": `"` + good + `"`, "before a blank": good + " ", "before a line break": good + "\n",
		"JWS in JSON, flattened": fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, h, payload, sig),
		"JWS in JSON, general":   fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, payload, h, sig),
		"JWS in JSON, with dots": fmt.Sprintf(`{"payload":%q,"a":"..","signatures":[{"protected":%q,"signature":%q}]}`, payload, h, sig),
		"fullwidth dots":         strings.ReplaceAll(good, ".", "．"), "NUL": good + "\x00", "NUL in front": "\x00" + good, "UTF-16": utf16(good),
		"an opaque token": "0.AXEA" + strings.Repeat("a", 100), "a SAML assertion": "<saml:Assertion/>", "header is JSON": `{"alg":"RS256","kid":"k1"}.` + payload + "." + sig,
		"16 KiB and one byte": sized(k, 16<<10+1), "a megabyte": sized(k, 1<<20), "a megabyte of dots": strings.Repeat(".", 1<<20), "16 KiB of dots": strings.Repeat(".", 16<<10),
	} {
		all = append(all, attack{name: name, token: token, want: verify.ErrMalformed})
	}
	return append(all,
		attack{name: "no token", token: "", want: verify.ErrNoToken},
		attack{name: "JWE", token: b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"k1"}`)) + ".a.b.c.d", want: verify.ErrEncrypted},
		attack{name: "five parts", token: good + ".x.y", want: verify.ErrEncrypted},
		attack{name: "two in one", token: good + good, want: verify.ErrEncrypted},
		attack{name: "two, with a comma", token: good + "," + good, want: verify.ErrEncrypted},
		attack{name: "parts swapped", token: payload + "." + h + "." + sig, want: verify.ErrAlgorithm},
		attack{name: "four dots", token: "....", want: verify.ErrEncrypted},
		attack{name: "16 KiB", token: sized(k, 16<<10)},
		attack{name: "more than is remembered", token: sized(k, 8<<10+1)},
		attack{name: "as much as is remembered", token: sized(k, 8<<10)},
	)
}

func utf16(s string) string { return strings.Join(strings.Split(s, ""), "\x00") + "\x00" }

// sized is a good token of n bytes.
func sized(k *signer, n int) string {
	for h := range 4 {
		header := with(k.header(), fields{"foo": strings.Repeat("x", h)})
		short := len(k.sign(header, claims(fields{"foo": ""})))
		for pad := max(n-short, 0)*3/4 - 4; pad <= n; pad++ {
			if pad < 0 {
				continue
			}
			token := k.sign(header, claims(fields{"foo": strings.Repeat("x", pad)}))
			if len(token) == n {
				return token
			}
			if len(token) > n {
				break
			}
		}
	}
	panic("no token of that size")
}

// base64Attacks are tokens whose signature is good, of a text that another decoder
// takes for the same bytes as a better one.
func base64Attacks() []attack {
	k := newSigner("k1")
	var all []attack
	for pad := range 3 { // so that each part ends in each of the three ways
		header := b64(marshal(with(k.header(), fields{"foo": strings.Repeat("x", pad)})))
		payload := b64(marshal(claims(fields{"foo": strings.Repeat("x", pad)})))
		sig := b64(k.rs256(header + "." + payload))
		all = append(all, attack{name: fmt.Sprint("canonical ", pad), token: header + "." + payload + "." + sig})
		add := func(name, token string) {
			all = append(all, attack{name: fmt.Sprint(name, " ", pad), token: token, want: verify.ErrMalformed})
		}
		for change, f := range changesOfBase64 {
			if h := f(header); h != header {
				add("header "+change, k.signRaw(h+"."+payload))
			}
			if p := f(payload); p != payload {
				add("payload "+change, k.signRaw(header+"."+p))
			}
			if s := f(sig); s != sig && pad == 0 && change != "a letter more" {
				add("signature "+change, header+"."+payload+"."+s)
			}
		}
	}
	odd := marshal(claims(fields{"foo": "\u083f\u083e???>>>"}))
	head := b64(marshal(k.header()))
	if std := base64.RawStdEncoding.EncodeToString(odd); strings.ContainsAny(std, "+/") {
		all = append(all, attack{name: "the other alphabet", token: k.signRaw(head + "." + std), want: verify.ErrMalformed},
			attack{name: "this alphabet", token: k.signRaw(head + "." + b64(odd))})
	}
	return all
}

// changesOfBase64 leave the bytes as they are for a lenient decoder.
var changesOfBase64 = map[string]func(string) string{
	"padded":               func(s string) string { return s + strings.Repeat("=", -len(s)&3) },
	"with one =":           func(s string) string { return s + "=" },
	"line break behind":    func(s string) string { return s + "\n" },
	"line break in front":  func(s string) string { return "\n" + s },
	"line break within":    func(s string) string { return s[:20] + "\n" + s[20:] },
	"return within":        func(s string) string { return s[:21] + "\r" + s[21:] },
	"return and feed":      func(s string) string { return s[:22] + "\r\n" + s[22:] },
	"three line breaks":    func(s string) string { return s[:8] + "\n" + s[8:16] + "\n" + s[16:] + "\n" },
	"four line breaks":     func(s string) string { return s[:8] + "\n\n\n\n" + s[8:] },
	"folded":               func(s string) string { return s[:64] + "\r\n\r\n" + s[64:] },
	"blank behind":         func(s string) string { return s + " " },
	"blank within":         func(s string) string { return s[:20] + " " + s[20:] },
	"tab within":           func(s string) string { return s[:20] + "\t" + s[20:] },
	"NUL behind":           func(s string) string { return s + "\x00" },
	"escaped padding":      func(s string) string { return s + "%3D" },
	"a letter more":        func(s string) string { return s + "A" },
	"noncanonical":         noncanonical,
	"a letter that is not": func(s string) string { return s[:20] + "é" + s[20:] },
	"plus":                 func(s string) string { return s[:20] + "+" + s[21:] },
	"slash":                func(s string) string { return s[:20] + "/" + s[21:] },
}

// noncanonical sets the last of the bits that no byte has, where there are some.
func noncanonical(s string) string {
	if len(s)%4 == 0 {
		return s
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + alphabet[last|1:][:1]
}
