// SPDX-License-Identifier: MIT

package verify_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/verify"
)

// What an answer must be for its keys to be taken. One that has no key that can be
// used is a failure, and not news that all keys are gone.
func TestKeyDocument(t *testing.T) {
	k := newSigner("k1")
	good := string(marshal(fields{"keys": []any{k.entry()}}))
	entry := string(marshal(k.entry()))
	padded := func(size int) string { return good + strings.Repeat(" ", size-len(good)) }
	numbered := func(place int) string { // among others
		return `{"keys":[` + strings.Repeat(`{"kty":"RSA","kid":"x"},`, place-1) + entry + strings.Repeat(`,{}`, 5) + `]}`
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(w, good)
	_ = w.Close()
	for name, tc := range map[string]struct {
		status int // 0: 200
		body   string
		want   error
	}{
		"good":                   {body: good},
		"with a BOM":             {body: "\xef\xbb\xbf" + good},
		"with CRLF":              {body: "\r\n" + strings.ReplaceAll(good, ",", ",\r\n\t") + "\r\n"},
		"with more":              {body: `{"@odata":[1],"keys":[` + entry + `],"next":{"keys":[]}}`},
		"among no keys":          {body: `{"keys":[null,5,"x",true,[],[` + entry + `],{},{"keys":[]},-1e999,` + entry + `,[[[[]]]]]}`},
		"of 1 MiB":               {body: padded(1 << 20)},
		"of more than 1 MiB":     {body: padded(1<<20 + 1), want: verify.ErrKeysUnavailable},
		"the thousandth key":     {body: numbered(1000)},
		"the thousand and first": {body: numbered(1001), want: verify.ErrKeysUnavailable},
		"two documents":          {body: good + good, want: verify.ErrKeysUnavailable},
		"cut off":                {body: good[:len(good)-1], want: verify.ErrKeysUnavailable},
		"two BOMs":               {body: "\xef\xbb\xbf\xef\xbb\xbf" + good, want: verify.ErrKeysUnavailable},
		"in UTF-16":              {body: "\xff\xfe{\x00}\x00", want: verify.ErrKeysUnavailable},
		"deep":                   {body: `{"keys":` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + `}`, want: verify.ErrKeysUnavailable},
		"HTML":                   {body: "<!DOCTYPE html><title>Sign in</title>", want: verify.ErrKeysUnavailable},
		"nothing":                {body: "", want: verify.ErrKeysUnavailable},
		"null":                   {body: "null", want: verify.ErrKeysUnavailable},
		"a list":                 {body: "[" + entry + "]", want: verify.ErrKeysUnavailable},
		"an entry":               {body: entry, want: verify.ErrKeysUnavailable},
		"without keys":           {body: `{}`, want: verify.ErrKeysUnavailable},
		"keys null":              {body: `{"keys":null}`, want: verify.ErrKeysUnavailable},
		"keys an object":         {body: `{"keys":{"k1":` + entry + `}}`, want: verify.ErrKeysUnavailable},
		"no keys":                {body: `{"keys":[]}`, want: verify.ErrKeysUnavailable},
		"no usable key":          {body: string(marshal(fields{"keys": []any{with(k.entry(), fields{"use": "enc"}), fields{"kty": "EC", "kid": "k1"}}})), want: verify.ErrKeysUnavailable},
		"other clouds' only":     {body: string(marshal(fields{"keys": []any{with(k.entry(), fields{"cloud_instance_name": "microsoftonline.us"})}})), want: verify.ErrKeysUnavailable},
		"compressed unasked":     {body: zipped.String(), want: verify.ErrKeysUnavailable},
		"an error of Entra":      {status: 400, body: `{"error":"invalid_tenant"}`, want: verify.ErrKeysUnavailable},
		"status 201":             {status: 201, body: good, want: verify.ErrKeysUnavailable},
		"status 204":             {status: 204, want: verify.ErrKeysUnavailable},
		"status 206":             {status: 206, body: good, want: verify.ErrKeysUnavailable},
		"status 301":             {status: 301, body: good, want: verify.ErrKeysUnavailable},
		"status 302":             {status: 302, body: good, want: verify.ErrKeysUnavailable},
		"status 304":             {status: 304, want: verify.ErrKeysUnavailable},
		"status 404":             {status: 404, body: good, want: verify.ErrKeysUnavailable},
		"status 429":             {status: 429, body: good, want: verify.ErrKeysUnavailable},
		"status 500":             {status: 500, body: good, want: verify.ErrKeysUnavailable},
	} {
		s := new(keyServer)
		s.answers(func(*http.Request) (int, []byte) { return max(tc.status, 200), []byte(tc.body) })
		v := open(t, s, byRole, verify.Options{})
		err := expect(t, v, k.token(claims(nil)), tc.want)
		if t.Failed() {
			t.Fatalf("%s: %v", name, err)
		}
		if got := v.Status()[0]; (got.Err != nil) != (tc.want != nil) || got.LastSuccess.IsZero() != (tc.want != nil) || (got.Keys == 1) != (tc.want == nil) {
			t.Errorf("%s: status %+v", name, got)
		}
		s.fetched(t, 1)
	}
}

// Such an answer takes nothing away either.
func TestKeyDocumentIsLost(t *testing.T) {
	k := newSigner("k1")
	for _, body := range []string{"", "{}", `{"keys":[]}`, "<html>", string(marshal(fields{"keys": []any{with(k.entry(), fields{"use": "enc"})}}))} {
		synctest.Test(t, func(t *testing.T) {
			s := serveKeys(k.entry())
			v := open(t, s, byRole, verify.Options{})
			expect(t, v, k.token(claims(nil)), nil)
			s.answers(func(*http.Request) (int, []byte) { return 200, []byte(body) })
			for range 50 {
				time.Sleep(time.Hour)
				expect(t, v, k.token(claims(nil)), nil)
			}
			if got := v.Status()[0]; got.Err == nil || got.Keys != 1 || time.Since(got.LastSuccess) < 50*time.Hour {
				t.Errorf("status %+v", got)
			}
		})
	}
}

// Entries that are no keys are told of once, whatever their place in the document.
func TestOddEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		odd, also := fields{"kty": "EC", "kid": "e"}, fields{"kty": "RSA", "kid": "r"}
		us := with(k.entry(), fields{"kid": "us", "cloud_instance_name": "microsoftonline.us"})
		log := new(logbook)
		s := serveKeys(k.entry(), us)
		v := open(t, s, byRole, verify.Options{RequireIDType: true, Logger: slog.New(log)})
		for i, entries := range [][]any{{k.entry(), us}, {odd, k.entry()}, {k.entry(), odd, also}, {k.entry()}, {also, k.entry(), odd}} {
			s.set(entries...)
			expect(t, v, k.token(claims(fields{"idtyp": "app"})), nil)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if n, want := log.count(""), min(i, 1); n != want {
				t.Errorf("after document %d: %d lines, want %d: %q", i, n, want, log.lines)
			}
		}
	})
}

// With a real server: redirects are not followed, cookies are not kept, and what is
// compressed is unpacked no further than what is not.
func TestKeysOverTLS(t *testing.T) {
	k := newSigner("k1")
	var mu sync.Mutex // the race detector does not see that an answer follows its request
	var path, cookie string
	var answer http.HandlerFunc
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		path, cookie = r.URL.String(), r.Header.Get("Cookie")
		serve := answer
		mu.Unlock()
		serve(w, r)
	}))
	defer server.Close()
	entry := with(k.entry(), fields{"issuer": server.URL + "/{tenantid}/v2.0", "cloud_instance_name": nil})
	good := marshal(fields{"keys": []any{entry}})
	token := k.token(claims(fields{"iss": server.URL + "/" + tenant + "/v2.0"}))
	compressed := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Error("gzip is not asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			_, _ = zip.Write(b)
			_ = zip.Close()
		}
	}
	jar := &jar{}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"plain":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(good) }, nil},
		"compressed": {compressed(good), nil},
		"a bomb":     {compressed(bytes.Repeat([]byte(" "), 1<<26)), verify.ErrKeysUnavailable},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/elsewhere") {
				t.Error("the redirect is followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, verify.ErrKeysUnavailable},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(good)
		}, verify.ErrKeysUnavailable},
		"cookie": {func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			_, _ = w.Write(good)
		}, nil},
	} {
		mu.Lock()
		answer = tc.answer
		mu.Unlock()
		client := *server.Client()
		client.Jar = jar
		client.CheckRedirect = func(*http.Request, []*http.Request) error { t.Error("asked about a redirect"); return nil }
		v := openWith(t, &client, byRole, verify.Options{Cloud: cloud.Custom(server.URL)})
		if err := expect(t, v, token, tc.want); t.Failed() {
			t.Fatalf("%s: %v", name, err)
		}
		mu.Lock()
		if want := "/" + tenant + "/discovery/v2.0/keys"; path != want || cookie != "" {
			t.Errorf("%s: fetched %s with cookie %q, want %s", name, path, cookie, want)
		}
		mu.Unlock()
	}
	if jar.asked {
		t.Error("the client's cookies are used")
	}
}

// A jar says whether anybody looked into it.
type jar struct{ asked bool }

func (j *jar) SetCookies(*url.URL, []*http.Cookie) { j.asked = true }
func (j *jar) Cookies(*url.URL) []*http.Cookie {
	j.asked = true
	return []*http.Cookie{{Name: "c", Value: "d"}}
}

// Which document is fetched follows from the rules; a token that names another tenant
// fetches nothing.
func TestWhichDocument(t *testing.T) {
	k := newSigner("k1")
	yes := func(context.Context, string) (bool, error) { return true, nil }
	own := verify.Rule{Tenant: strings.ToUpper(tenant), Roles: []string{"Orders.Read"}}
	for name, tc := range map[string]struct {
		rules  []verify.Rule
		o      verify.Options
		tenant string // of the token
		path   string // "": nothing is fetched
		want   error
	}{
		"its own":              {rules: []verify.Rule{own}, tenant: tenant, path: tenant + "/discovery/v2.0/keys"},
		"another's":            {rules: []verify.Rule{own}, tenant: other, want: verify.ErrTenant},
		"a function's":         {rules: []verify.Rule{{TenantFunc: yes, Client: daemon}}, tenant: other, path: "organizations/discovery/v2.0/keys"},
		"both, its own":        {rules: []verify.Rule{{TenantFunc: yes, Client: daemon}, own}, tenant: tenant, path: tenant + "/discovery/v2.0/keys"},
		"both, a function's":   {rules: []verify.Rule{own, {TenantFunc: yes, Client: daemon}}, tenant: other, path: "organizations/discovery/v2.0/keys"},
		"no tenant":            {rules: []verify.Rule{{TenantFunc: yes, Client: daemon}}, tenant: "organizations", want: verify.ErrIssuer},
		"upper case":           {rules: []verify.Rule{own}, tenant: strings.ToUpper("a" + tenant[1:]), want: verify.ErrIssuer},
		"a path":               {rules: []verify.Rule{{TenantFunc: yes, Client: daemon}}, tenant: "../" + tenant, want: verify.ErrIssuer},
		"of the registration":  {rules: []verify.Rule{own}, o: verify.Options{CustomSigningKeys: true}, tenant: tenant, path: tenant + "/discovery/v2.0/keys?appid=" + api},
		"of the US government": {rules: []verify.Rule{own}, o: verify.Options{Cloud: cloud.USGovernment}, tenant: tenant, path: tenant + "/discovery/v2.0/keys", want: verify.ErrKeysUnavailable},
	} {
		var got []string
		s := new(keyServer)
		s.answers(func(r *http.Request) (int, []byte) {
			got = append(got, r.URL.String())
			return 200, marshal(fields{"keys": []any{k.entry()}})
		})
		v := open(t, s, tc.rules, tc.o)
		if err := expect(t, v, k.token(claims(of(tc.tenant))), tc.want); t.Failed() {
			t.Fatalf("%s: %v", name, err)
		}
		want := tc.o.Cloud.Authority() + "/" + tc.path
		if tc.path == "" && len(got) > 0 || tc.path != "" && (len(got) != 1 || got[0] != want) {
			t.Errorf("%s: fetched %q, want %q", name, got, want)
		}
	}
}
