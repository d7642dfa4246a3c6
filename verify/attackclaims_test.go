// SPDX-License-Identifier: MIT

package verify_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/verify"
)

// typeAttacks are claims of another type than Entra's.
func typeAttacks() []attack {
	k := newSigner("k1")
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	texts := []any{raw("1"), raw("0"), null, raw("true"), raw("[]"), raw(`["` + tenant + `"]`), raw("{}"), raw("1.5")}
	times := []any{raw(`"4102444800"`), null, raw("true"), raw("[4102444800]"), raw("{}"), raw("-1"), raw("-0"), raw("1e9"), raw("4102444800.5"), raw("1e999"), raw("9999999999999"), raw("9223372036854775808"), raw(strings.Repeat("9", 400))}
	lists := []any{raw(`"Orders.Read"`), null, raw("true"), raw("1"), raw("{}"), raw(`{"0":"Orders.Read"}`), raw(`["Orders.Read",1]`), raw(`["Orders.Read",null]`), raw(`[["Orders.Read"]]`), raw(`[{"Orders.Read":1}]`)}
	var all []attack
	add := func(base func(fields) fields, values []any, names ...string) {
		for _, name := range names {
			for _, v := range values {
				all = append(all, attack{name: fmt.Sprintf("%s %.30s", name, v), token: k.token(base(fields{name: v})), want: verify.ErrMalformed})
			}
		}
	}
	add(claims, texts, "iss", "aud", "tid", "ver", "sub", "oid", "uti", "azp", "azpacr", "idtyp")
	add(claimsV1, texts, "appid", "appidacr")
	add(claims, times, "exp", "nbf", "iat")
	add(claims, lists, "roles")
	for name, c := range map[string]fields{"float_exp": {"exp": raw("946688400.0")}, "exp in an exponent": {"exp": raw("946688400e0")}, "no exp": {"exp": nil}, "exp 0": {"exp": 0}, "no azp": {"azp": nil}, "azp is a name": {"azp": "daemon"}, "azp in braces": {"azp": "{" + daemon + "}"}} {
		all = append(all, attack{name: name, token: k.token(claims(c)), want: verify.ErrMalformed})
	}
	for name, c := range map[string]fields{"nbf_missing": {"nbf": nil}, "iat_missing": {"iat": nil}, "neither": {"iat": nil, "nbf": nil}, "roles twice in the list": {"roles": []string{"Orders.Read", "Orders.Read"}}, "no uti": {"uti": nil}, "azp in capitals": {"azp": strings.ToUpper(daemon)}, "xms_cc odd": {"xms_cc": 1}, "xms_cc null": {"xms_cc": null}, "groups": {"groups": []string{"x"}, "wids": []string{"y"}, "_claim_names": fields{"groups": "src1"}}} {
		all = append(all, attack{name: name, token: k.token(claims(c))})
	}
	return all
}

func issuerAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	add := func(name string, c fields, want verify.Kind) {
		all = append(all, attack{name: name, token: k.token(c), want: want})
	}
	v1, v2 := "https://sts.windows.net/"+tenant+"/", host+"/"+tenant+"/v2.0"
	for _, iss := range []string{
		"", v1, v2 + "/", v2 + " ", " " + v2, "http" + v2[5:], strings.ToUpper(v2), strings.Replace(v2, "login", "LOGIN", 1), strings.Replace(v2, tenant, other, 1), strings.Replace(v2, tenant, consumers, 1),
		strings.Replace(v2, tenant, "{tenantid}", 1), strings.Replace(v2, tenant, "common", 1), strings.Replace(v2, tenant, "organizations", 1), strings.Replace(v2, "/v2.0", "", 1), strings.Replace(v2, "v2.0", "v1.0", 1), strings.Replace(v2, "v2.0", "v2.00", 1), strings.Replace(v2, ".com", ".com.evil.example", 1),
		strings.Replace(v2, ".com", ".us", 1), strings.Replace(v2, "https://", "https://evil.example@", 1), "https://evil.example/" + tenant + "/v2.0", "https://login.windows.net/" + tenant + "/v2.0", "https://sts.windows.net/" + tenant + "/v2.0", host + "//" + tenant + "/v2.0", host + ":443/" + tenant + "/v2.0",
		host + "/" + tenant + tenant + "/v2.0", host + "/" + other + "/../" + tenant + "/v2.0", v2 + "#", v2 + "?x", host + "/" + strings.ReplaceAll(tenant, "-", "") + "/v2.0", host + "/" + tenant + "/V2.0",
	} {
		add("v2 iss "+iss, claims(fields{"iss": iss}), verify.ErrIssuer)
	}
	for _, iss := range []string{
		v2, "https://sts.windows.net/" + tenant, v1 + "/", "https://STS.windows.net/" + tenant + "/", "https://sts.windows.net/" + other + "/", "http://sts.windows.net/" + tenant + "/", "https://sts.microsoftonline.de/" + tenant + "/",
		"https://sts.windows-ppe.net/" + tenant + "/", "https://sts.chinacloudapi.cn/" + tenant + "/", host + "/" + tenant + "/", "https://sts.windows.net/common/", "",
	} {
		add("v1 iss "+iss, claimsV1(fields{"iss": iss}), verify.ErrIssuer)
	}
	for _, ver := range []any{nil, "", "1", "2", "1.1", "2.00", "v2.0", "3.0", " 2.0", "2.0\x00"} {
		add(fmt.Sprintf("ver %v", ver), claims(fields{"ver": ver}), verify.ErrIssuer)
	}
	add("v2 claims, ver 1.0", claims(fields{"ver": "1.0"}), verify.ErrIssuer)
	add("v1 claims, ver 2.0", claimsV1(fields{"ver": "2.0"}), verify.ErrIssuer)
	for _, tid := range []any{nil, "", "common", "organizations", "contoso.com", strings.ReplaceAll(tenant, "-", ""), "{" + tenant + "}", tenant + "/", tenant[:35], tenant + "0", strings.ReplaceAll(tenant, "1", "g"), "../" + tenant, tenant[:35] + "\u0661"} {
		add(fmt.Sprintf("tid %v", tid), claims(fields{"tid": tid}), verify.ErrIssuer)
	}
	guid := "abcdefab-0000-4000-8000-000000000000"
	for name, c := range map[string]fields{
		"guid_case": {"tid": strings.ToUpper(guid), "iss": host + "/" + strings.ToUpper(guid) + "/v2.0"}, "one capital": {"tid": "A" + guid[1:], "iss": host + "/A" + guid[1:] + "/v2.0"},
		"capitals in tid": {"tid": strings.ToUpper(guid), "iss": host + "/" + guid + "/v2.0"}, "capitals in iss": {"tid": guid, "iss": host + "/" + strings.ToUpper(guid) + "/v2.0"},
	} {
		all = append(all, attack{
			name: name, token: k.token(claims(c)), want: verify.ErrIssuer,
			at: setup{rules: []verify.Rule{{Tenant: strings.ToUpper(guid), Roles: []string{"Orders.Read"}}}},
		})
	}
	for name, c := range map[string]fields{"another tenant": {"tid": other, "iss": host + "/" + other + "/v2.0"}, "consumers' tenant": {"tid": consumers, "iss": host + "/" + consumers + "/v2.0"}, "another tid": {"tid": other}} {
		all = append(all, attack{name: name, token: k.token(claims(c)), want: verify.ErrTenant, unsigned: true})
	}
	all = append(all, attack{
		name: "another tenant, forged", token: newSigner(evilKey).named("k1").token(claims(fields{"tid": other, "iss": host + "/" + other + "/v2.0"})), want: verify.ErrTenant, unsigned: true,
	}, attack{
		name: "tid of a tenant that may, iss of another", token: k.token(claims(fields{"tid": tenant, "iss": host + "/" + other + "/v2.0"})), want: verify.ErrIssuer,
		at: setup{rules: append([]verify.Rule{{Tenant: other, Roles: []string{"Orders.Read"}}}, byRole...)},
	})
	return all
}

func cloudAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	const us, cn = "https://login.microsoftonline.us", "https://login.partner.microsoftonline.cn"
	v1 := func(iss string, c fields) fields { return claimsV1(with(fields{"iss": iss}, c)) }
	add := func(name string, c cloud.Cloud, entry fields, token fields, want verify.Kind) {
		all = append(all, attack{name: name, token: k.token(token), want: want, at: setup{keys: []any{with(k.entry(), entry)}, opts: verify.Options{Cloud: c}}})
	}
	government := fields{"issuer": us + "/{tenantid}/v2.0", "cloud_instance_name": "microsoftonline.us"}
	china := fields{"issuer": cn + "/{tenantid}/v2.0", "cloud_instance_name": "partner.microsoftonline.cn"}
	v2US, v2CN := claims(fields{"iss": us + "/" + tenant + "/v2.0"}), claims(fields{"iss": cn + "/" + tenant + "/v2.0"})
	add("government", cloud.USGovernment, government, v2US, "")
	add("government, v1", cloud.USGovernment, government, claimsV1(nil), "")
	add("government, unlabelled key", cloud.USGovernment, both(government, fields{"cloud_instance_name": nil}), v2US, "")
	add("government's key of the public issuer", cloud.USGovernment, both(government, fields{"issuer": host + "/{tenantid}/v2.0"}), v2US, verify.ErrIssuer)
	add("public token, government's API", cloud.USGovernment, government, claims(nil), verify.ErrIssuer)
	add("government's token, public API", cloud.Public, nil, v2US, verify.ErrIssuer)
	add("China", cloud.China, china, v2CN, "")
	add("China, v1", cloud.China, china, v1("https://sts.chinacloudapi.cn/"+tenant+"/", nil), "")
	add("China, public v1", cloud.China, china, claimsV1(nil), verify.ErrIssuer)
	bleu, own := cloud.Bleu.Authority(), "https://login.example"
	add("Bleu", cloud.Bleu, fields{"issuer": bleu + "/{tenantid}/v2.0", "cloud_instance_name": "bleu"}, claims(fields{"iss": bleu + "/" + tenant + "/v2.0"}), "")
	add("Bleu, v1", cloud.Bleu, fields{"issuer": bleu + "/{tenantid}/v2.0"}, claimsV1(nil), verify.ErrIssuer)
	add("Bleu, v1 with no issuer", cloud.Bleu, fields{"issuer": bleu + "/{tenantid}/v2.0"}, claimsV1(fields{"iss": ""}), verify.ErrIssuer)
	add("Bleu, v1 of its tenant", cloud.Bleu, fields{"issuer": bleu + "/{tenantid}/v2.0"}, claimsV1(fields{"iss": tenant}), verify.ErrIssuer)
	custom := fields{"issuer": own + "/{tenantid}/v2.0", "cloud_instance_name": "example"}
	add("custom", cloud.Custom(own), custom, claims(fields{"iss": own + "/" + tenant + "/v2.0"}), "")
	add("custom, v1", cloud.Custom(own), custom, claimsV1(fields{"iss": own + "/" + tenant + "/"}), "")
	add("custom, public v1", cloud.Custom(own), custom, claimsV1(nil), verify.ErrIssuer)
	refuse := setup{opts: verify.Options{RefuseV1: true}}
	return append(all, attack{name: "RefuseV1", token: k.token(claimsV1(nil)), want: verify.ErrIssuer, at: refuse}, attack{name: "RefuseV1, v2", token: k.token(claims(nil)), at: refuse})
}

func audienceAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	add := func(name string, c fields, want verify.Kind, uris ...string) {
		all = append(all, attack{name: name, token: k.token(c), want: want, at: setup{opts: verify.Options{AppIDURIs: uris}}})
	}
	const graph, uri = "00000003-0000-0000-c000-000000000000", "https://orders.contoso.com"
	for name, aud := range map[string]any{
		"missing": nil, "empty": "", "Graph": graph, "Graph's URI": "https://graph.microsoft.com", "ARM": "https://management.azure.com/", "another API": daemon, "the tenant": tenant, "guid_case": strings.ToUpper(api), "with a slash": api + "/", "with a blank": api + " ",
		"two in one": api + " " + graph, "a prefix": api[:35], "in braces": "{" + api + "}", "v2_uri_audience": "api://" + api, "spn": "spn:" + api, "URI and default": "api://" + api + "/.default",
	} {
		add("v2 "+name, claims(fields{"aud": aud}), verify.ErrAudience)
	}
	for name, aud := range map[string]string{
		"empty": "", "slash": "/", "Graph": graph, "two slashes": "api://" + api + "//", "capitals": "API://" + api, "GUID in capitals": "api://" + strings.ToUpper(api), "GUID with a slash": api + "/", "another URI": uri, "below the URI": "api://" + api + "/x", "prefix": "api://", "blank": "api://" + api + " ", "spn": "spn:" + api,
	} {
		add("v1 "+name, claimsV1(fields{"aud": aud}), verify.ErrAudience)
	}
	add("v1 client ID", claimsV1(fields{"aud": api}), "")
	add("v1_trailing_slash", claimsV1(fields{"aud": "api://" + api + "/"}), "")
	add("v1 named URI", claimsV1(fields{"aud": uri}), "", uri+"/")
	add("v1 named URI, slash", claimsV1(fields{"aud": uri + "/"}), "", uri)
	add("v1 the second of two", claimsV1(fields{"aud": uri}), "", "api://orders", uri)
	add("v1 default beside a named one", claimsV1(nil), verify.ErrAudience, uri)
	add("v2 named URI", claims(fields{"aud": uri}), verify.ErrAudience, uri)
	all = append(all, attack{name: "v1 no URIs", token: k.token(claimsV1(nil)), want: verify.ErrAudience, at: setup{opts: verify.Options{AppIDURIs: []string{}}}})
	for name, aud := range map[string]any{"aud_list": []string{api}, "list of two": []string{api, graph}, "empty list": []string{}} {
		add(name, claims(fields{"aud": aud}), verify.ErrMalformed)
	}
	return all
}

func timeAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	now := time.Now().Unix()
	for _, l := range []struct {
		leeway  time.Duration
		seconds int64
	}{{0, 60}, {-1, 0}, {-time.Hour, 0}, {time.Second, 1}, {5 * time.Minute, 300}} {
		add := func(name string, c fields, want verify.Kind) {
			all = append(all, attack{name: fmt.Sprint("leeway ", l.leeway, ": ", name), token: k.token(claims(c)), want: want, at: setup{opts: verify.Options{Leeway: l.leeway}}})
		}
		s := l.seconds
		add("exp, the last second", fields{"exp": now - s + 1}, "")
		add("exp", fields{"exp": now - s}, verify.ErrExpired)
		add("exp, one second more", fields{"exp": now - s - 1}, verify.ErrExpired)
		add("nbf", fields{"nbf": now + s}, "")
		add("nbf, one second more", fields{"nbf": now + s + 1}, verify.ErrNotYetValid)
		add("iat", fields{"iat": now + s}, "")
		add("iat_future", fields{"iat": now + s + 1}, verify.ErrNotYetValid)
	}
	const day = 24 * 3600
	for name, c := range map[string]fields{"skew": {"nbf": now + 20, "iat": now + 20}, "exp_skew": {"exp": now - 10}, "iat after exp": {"exp": now + 10, "iat": now + 20}, "28 hours": {"exp": now + 28*3600}, "48 hours": {"exp": now - 60 + 2*day}, "48 hours from now": {"iat": nil, "nbf": nil, "exp": now + 2*day}, "nbf long before iat": {"nbf": 1}} {
		all = append(all, attack{name: name, token: k.token(claims(c))})
	}
	for name, c := range map[string]fields{"lifetime_bound": {"exp": now - 60 + 2*day + 1}, "a year": {"exp": now + 365*day}, "milliseconds": {"exp": (now + 3600) * 1000}, "by nbf": {"iat": nil, "exp": now - 60 + 2*day + 1}, "by now": {"iat": nil, "nbf": nil, "exp": now + 2*day + 1}, "iat long ago": {"iat": 1}} {
		all = append(all, attack{name: name, token: k.token(claims(c)), want: verify.ErrMalformed})
	}
	for name, c := range map[string]fields{"expired and another API": {"exp": now - 100, "aud": daemon}, "expired and a user": {"exp": now - 100, "scp": "x"}, "expired and no role": {"exp": now - 100, "roles": nil}} {
		want := verify.ErrExpired
		if c["aud"] != nil {
			want = verify.ErrAudience
		}
		all = append(all, attack{name: name, token: k.token(claims(c)), want: want})
	}
	return all
}
