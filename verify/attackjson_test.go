// SPDX-License-Identifier: MIT

package verify_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apponly/apponly/verify"
)

// claimNames are those that Verify goes by.
var claimNames = []string{
	"iss", "aud", "tid", "ver", "sub", "oid", "uti", "azp", "azpacr", "appid", "appidacr", "idtyp", "exp", "nbf", "iat", "roles", "scp", "xms_cc",
}

// memberAttacks are members that one reader takes for another than the next.
func memberAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	add := func(name, token string, want verify.Kind) {
		all = append(all, attack{name: name, token: token, want: want})
	}
	whole := claims(fields{"scp": "x", "idtyp": "app", "xms_cc": []string{"cp1"}, "appid": daemon, "appidacr": "1"})
	for _, name := range claimNames {
		own := string(must(json.Marshal(whole[name])))
		add(name+" twice, the same", k.inserted(`"`+name+`":`+own+`,`, fields{name: whole[name]}), verify.ErrMalformed)
		add(name+" twice, null first", k.inserted(`"`+name+`":null,`, fields{name: whole[name]}), verify.ErrMalformed)
		for how, variant := range map[string]string{"upper case": strings.ToUpper(name), "title case": strings.ToUpper(name[:1]) + name[1:], "long s": strings.ReplaceAll(name, "s", "\u017f")} {
			if variant != name {
				add(name+" in "+how+", beside", k.inserted(`"`+variant+`":`+own+`,`, nil), verify.ErrMalformed)
				add(name+" in "+how+", alone", k.inserted(`"`+variant+`":`+own+`,`, fields{name: nil}), verify.ErrMalformed)
			}
		}
		escaped := fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:])
		add(name+" in escapes, beside", k.inserted(escaped+`:`+own+`,`, nil), verify.ErrMalformed)
		add(name+" in escapes, alone", k.inserted(escaped+`:`+own+`,`, fields{name: nil}), verify.ErrMalformed)
	}
	good := string(marshal(claims(nil)))
	behind := func(text string) string { return k.sign(k.header(), good[:len(good)-1]+text+"}") }
	add("another tid first", k.inserted(`"tid":"`+other+`",`, nil), verify.ErrMalformed)
	add("another tid last", behind(`,"tid":"`+other+`"`), verify.ErrMalformed)
	add("scp last", behind(`,"roles":["Admin"]`), verify.ErrMalformed)
	add("dup_unknown", k.inserted(`"a":1,"a":1,`, nil), verify.ErrMalformed)
	add("no name, twice", k.inserted(`"":1,"":2,`, nil), verify.ErrMalformed)
	add("no name", k.inserted(`"":1,`, nil), "")
	add("escaped_names, unknown", k.inserted(`"\u0061":1,`, nil), verify.ErrMalformed)
	add("escaped slash in a name", k.inserted(`"a\/b":1,`, nil), verify.ErrMalformed)
	add("twice within a value", k.inserted(`"a":{"b":1,"b":2,"\u0062":3},`, nil), "")
	add("known within a value", k.inserted(`"a":{"tid":"`+other+`","scp":"x","TID":1},`, nil), "")
	add("unknown in two letter cases", k.inserted(`"Foo":1,"foo":2,"FOO":3,`, nil), "")
	add("names with blanks", k.inserted(`" tid":1,"tid ":2,"tid\u0000":3,`, nil), verify.ErrMalformed)
	add("names with plain blanks", k.inserted(`" tid":1,"tid ":2,"t id":3,`, nil), "")
	add("names of prototypes", k.inserted(`"__proto__":{"roles":["Admin"]},"constructor":1,`, nil), "")
	add("names that are prefixes", k.inserted(`"ti":1,"tidd":2,"scpx":3,"role":["Admin"],`, nil), "")
	add("name of 8 KiB", k.inserted(`"`+strings.Repeat("T", 8<<10)+`":1,`, nil), "")
	extra := 256 - len(claims(nil))
	add("256 members", k.inserted(numbered(extra), nil), "")
	add("257 members", k.inserted(numbered(extra+1), nil), verify.ErrMalformed)
	add("a thousand members", k.inserted(numbered(1000), nil), verify.ErrMalformed)
	add("a thousand within a value", k.inserted(`"a":{`+strings.TrimSuffix(numbered(1000), ",")+`},`, nil), "")
	return all
}

// numbered are members, with a comma behind each.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":1,`, i)
	}
	return b.String()
}

// jsonAttacks are payloads that are no JSON, and odd ones that are.
func jsonAttacks() []attack {
	k := newSigner("k1")
	good := string(marshal(claims(nil)))
	var all []attack
	add := func(want verify.Kind, payloads map[string]string) {
		for name, payload := range payloads {
			all = append(all, attack{name: name, token: k.sign(k.header(), payload), want: want})
		}
	}
	in := func(value string) string { return `{"a":` + value + "," + good[1:] }
	add(verify.ErrMalformed, map[string]string{
		"empty": "", "blanks": "  ", "list": "[" + good + "]", "string": `"x"`, "number": "1", "null": "null", "true": "true", "brace": "{", "closed": "}", "cut": good[:len(good)-1], "cut in a string": good[:len(good)-3],
		"two objects": good + good, "two objects, comma": good + "," + good, "trailing letter": good + "x", "trailing brace": good + "}", "trailing comma": good + ",", "trailing NUL": good + "\x00", "comma at the end": good[:len(good)-1] + ",}",
		"comma at the start": "{," + good[1:], "two commas": strings.Replace(good, ",", ",,", 1), "no comma": strings.Replace(good, `,"`, ` "`, 1), "no colon": strings.Replace(good, `":`, `" `, 1), "two colons": strings.Replace(good, `":`, `"::`, 1),
		"byte order mark": "\xef\xbb\xbf" + good, "UTF-16": utf16(good), "a comment": "{/* */" + good[1:], "a line comment": "{// x\n" + good[1:], "a hash comment": "{# x\n" + good[1:],
		"single quotes": strings.ReplaceAll(good, `"`, "'"), "no quotes": "{a:1," + good[1:], "number for a name": "{1:1," + good[1:], "name without a value": `{"a",` + good[1:], "no value": in(""), "form feed": "\f" + good, "vertical tab": "\v" + good, "no-break space": "\u00a0" + good,
		"NaN": in("NaN"), "Infinity": in("Infinity"), "-Infinity": in("-Infinity"), "undefined": in("undefined"), "True": in("True"), "tru": in("tru"), "truex": in("truex"), "nul": in("nul"), "nil": in("nil"), "-": in("-"), "--1": in("--1"), "+1": in("+1"),
		"01": in("01"), "-01": in("-01"), "1.": in("1."), ".5": in(".5"), "1e": in("1e"), "1e+": in("1e+"), "1e+-1": in("1e+-1"), "1.e1": in("1.e1"), "0x10": in("0x10"), "1_000": in("1_000"), "1 2": in("1 2"), "1a": in("1a"), "digits of another script": in("١"),
		"list without commas": in("[1 2]"), "list with a comma too many": in("[1,]"), "list with a comma first": in("[,1]"), "list cut": in("[1"), "list closed as an object": in("[1}"), "object closed as a list": in(`{"a":1]`), "object of values": in(`{1,2}`),
		"depth_bound": in(nest("[", "]", 16)), "objects too deep": in(nest(`{"a":`, "}", 16)), "5,000 deep": in(nest("[", "]", 5000)), "5,000 deep, cut": in(strings.Repeat("[", 5000)), "deep in a known claim": `{"idtyp":` + nest("[", "]", 16) + "," + good[1:],
	})
	add("", map[string]string{
		"blanks in front": " \t\r\n" + good, "blanks behind": good + " \t\r\n", "blanks around everything": strings.NewReplacer(",", " ,\n\t", ":", " :\r\n ").Replace(strings.ReplaceAll(good, "https:", `https\u003a`)),
		"unknown_numbers": in("1e999"), "-0": in("-0"), "-0.0e-0": in("-0.0e-0"), "1E+5": in("1E+5"), "500 digits": in(strings.Repeat("9", 500)), "0": in("0"), "500 decimals": in("0." + strings.Repeat("3", 500)),
		"false": in("false"), "true for an unknown claim": in("true"), "null for an unknown claim": in("null"), "empty object": in("{}"), "empty list": in("[ ]"), "empty object, blanks": in("{ \n }"), "objects in lists": in(`[{"a":[{}]},[[]],"x",1]`),
		"as deep as may be": in(nest("[", "]", 15)), "objects as deep as may be": in(nest(`{"a":`, "}", 15)), "many that are not deep": in("[" + strings.Repeat("[[]],", 1000) + "1]"),
	})
	return all
}

// nest is a value of a depth; in objects the innermost is a number.
func nest(open, end string, depth int) string {
	inner := ""
	if open != "[" {
		inner = "1"
	}
	return strings.Repeat(open, depth) + inner + strings.Repeat(end, depth)
}

// textAttacks are strings, of known claims and of others.
func textAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	add := func(want verify.Kind, payloads map[string]string) {
		for name, payload := range payloads {
			all = append(all, attack{name: name, token: k.sign(k.header(), payload), want: want})
		}
	}
	good := string(marshal(claims(nil)))
	in := func(text string) string { return `{"a":"` + text + `",` + good[1:] }
	uti := func(text string) string { return strings.Replace(good, `"token-id"`, `"`+text+`"`, 1) }
	escape := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, `\u%04X`, r)
		}
		return b.String()
	}
	add(verify.ErrMalformed, map[string]string{
		"line break": in("a\nb"), "tab": in("\t"), "NUL": in("a\x00b"), "0x1f": in("\x1f"), `\x`: in(`\x41`), `\'`: in(`\'`), `\0`: in(`\0`), `\u12`: in(`\u12`), `\u12G4`: in(`\u12G4`), `\U`: in(`\U0041`), `\u+`: in(`\u+041`), `\u blank`: in(`\u 041`), "not closed": `{"a":"`,
		"backslash at the end": `{"a":"\`, "u at the end": `{"a":"\u004`, "utf8_everywhere": in("\xff"), "cut rune": in("\xe2\x82"), "overlong": in("\xc0\xaf"), "overlong NUL": in("\xc0\x80"), "surrogate in UTF-8": in("\xed\xa0\x80"), "beyond Unicode": in("\xf4\x90\x80\x80"),
		"invalid UTF-8 in a name": "{\"\xff\":1," + good[1:], "invalid UTF-8 in a known claim": uti("\xc3"), "half a surrogate": uti(`\ud83d`), "the other half": uti(`\ude00`), "halves the wrong way round": uti(`\ude00\ud83d`), "half and a letter": uti(`\ud83dx`), "half and an escape": uti(`\ud83d\u0041`),
		"half and half of an escape": uti(`\ud83d\n`), "two halves of one kind": uti(`\ud83d\ud83d`), "half a surrogate in a role": strings.Replace(good, `"Orders.Write"`, `"\ud83d"`, 1),
	})
	add("", map[string]string{
		"all escapes": uti(`\"\\\/\b\f\n\r\tA\u00e9\u0000`), "a pair": uti(`\ud83d\ude00`), "a pair in capitals": uti(`\uD83D\uDE00`), "two pairs and more": uti(`a\ud83d\ude00\ud83d\ude00b`), "the replacement": uti(`\ufffd`), "U+FFFF": uti(`\uffff`), "empty": uti(""),
		"half a surrogate in an unknown claim": in(`\ud83d`), "DEL": in("\x7f"), "U+2028": in("\u2028\u2029"), "byte order mark within": in("\ufeff"), "four bytes": in("😀"), "escaped_values": strings.Replace(strings.Replace(good, tenant, escape(tenant), 1), api, escape(api), 1),
		"escaped role": strings.Replace(good, "Orders.Read", escape("Orders.Read"), 1), "10,000 bytes": in(strings.Repeat("x", 10_000)), "1,500 escapes": in(strings.Repeat(`\u0041`, 1500)), "quotes escaped": in(`\",\"tid\":\"x`),
	})
	add(verify.ErrIssuer, map[string]string{
		"NUL behind tid": strings.Replace(good, `"tid":"`+tenant, `"tid":"`+tenant+`\u0000`, 1), "blank behind tid": strings.Replace(good, `"tid":"`+tenant, `"tid":"`+tenant+` `, 1), "NUL in iss": strings.Replace(good, "/v2.0", `/v2.0\u0000`, 1),
	})
	return all
}
