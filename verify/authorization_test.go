// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/wwwauth"
	"github.com/apponly/apponly/verify"
)

func TestAuthorization(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := newSigner("k1").token(claims(nil))
		in, twice := "200\r\n", refusal(400, `Www-Authenticate: Bearer realm="", error="invalid_request"`)
		h := setup{}.open(t).Middleware(welcome)
		for name, c := range map[string]struct {
			headers []string
			want    string
		}{
			"none":                       {nil, noToken},
			"good":                       {[]string{"Bearer " + token}, in},
			"lower case":                 {[]string{"bearer " + token}, in},
			"upper case":                 {[]string{"BEARER " + token}, in},
			"several blanks":             {[]string{"Bearer   " + token}, in},
			"twice":                      {[]string{"Bearer " + token, "Bearer " + token}, twice},
			"a good and a bad one":       {[]string{"Bearer " + token, "Bearer x"}, twice},
			"a bad and a good one":       {[]string{"Basic eDp5", "Bearer " + token}, twice},
			"good and empty":             {[]string{"Bearer " + token, ""}, twice},
			"joined":                     {[]string{"Bearer " + token + ", Bearer " + token}, invalidToken},
			"joined with Basic":          {[]string{"Basic eDp5, Bearer " + token}, noToken},
			"empty":                      {[]string{""}, noToken},
			"scheme alone":               {[]string{"Bearer"}, noToken},
			"empty token":                {[]string{"Bearer "}, noToken},
			"blanks for a token":         {[]string{"Bearer    "}, noToken},
			"no scheme":                  {[]string{token}, noToken},
			"Basic":                      {[]string{"Basic eDp5"}, noToken},
			"Basic with a token":         {[]string{"Basic " + token}, noToken},
			"DPoP":                       {[]string{"DPoP " + token}, noToken},
			"no blank":                   {[]string{"Bearer" + token}, noToken},
			"a tab":                      {[]string{"Bearer\t" + token}, noToken},
			"a blank and a tab":          {[]string{"Bearer \t" + token}, invalidToken},
			"a colon":                    {[]string{"Bearer: " + token}, noToken},
			"an equals sign":             {[]string{"Bearer=" + token}, noToken},
			"blank in front":             {[]string{" Bearer " + token}, noToken},
			"blank behind":               {[]string{"Bearer " + token + " "}, invalidToken},
			"scheme twice":               {[]string{"Bearer Bearer " + token}, invalidToken},
			"quoted":                     {[]string{`Bearer "` + token + `"`}, invalidToken},
			"a parameter":                {[]string{"Bearer token=" + token}, invalidToken},
			"a scheme of another script": {[]string{"Bearer\u0430 " + token}, noToken},
			"a line break":               {[]string{"Bearer " + token + "\r\nX: y"}, invalidToken},
		} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
			r.Header["Authorization"] = c.headers
			if got := answer(h, r); got != c.want {
				t.Errorf("%s: the answer is %q, want %q", name, got, c.want)
			}
		}
	})
}

// TestTokenElsewhere: RFC 6750 has a form and a query for tokens, too, and they end in
// logs and caches.
func TestTokenElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := newSigner("k1").token(claims(nil))
		form := url.Values{"access_token": {token}}
		for name, change := range map[string]func(r *http.Request){
			"query":               func(r *http.Request) { r.URL.RawQuery = form.Encode() },
			"form":                func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
			"cookie":              func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "access_token", Value: token}) },
			"proxy's header":      func(r *http.Request) { r.Header.Set("Proxy-Authorization", "Bearer "+token) },
			"App Service's":       func(r *http.Request) { r.Header.Set("X-Ms-Token-Aad-Access-Token", token) },
			"forwarded":           func(r *http.Request) { r.Header.Set("X-Forwarded-Authorization", "Bearer "+token) },
			"uncanonical":         func(r *http.Request) { r.Header["authorization"] = []string{"Bearer " + token} },
			"user in the address": func(r *http.Request) { r.URL.User = url.UserPassword("Bearer", token) },
		} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "https://api.example/", strings.NewReader(form.Encode()))
			change(r)
			if got := answer(setup{}.open(t).Middleware(welcome), r); got != noToken {
				t.Errorf("%s: the answer is %q", name, got)
			}
		}
	})
}

// TestUnavailable: who could not be checked is not told that his token is at fault.
func TestUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := newSigner("k1"), serveKeys()
		s.answers(func(*http.Request) (int, []byte) { return http.StatusServiceUnavailable, nil })
		v := open(t, s, byRole, verify.Options{})
		for name, c := range map[string]struct {
			token string
			want  string
		}{
			"good": {k.token(claims(nil)), refusal(503, "Retry-After: 3")}, "forged": {newSigner(evilKey).named("k1").token(claims(nil)), refusal(503, "Retry-After: 3")},
			// What needs no key is known all the same.
			"malformed": {"x", invalidToken}, "alg": {k.headed(fields{"alg": "none"}), invalidToken}, "another tenant": {k.token(claims(fields{"tid": other})), invalidToken}, "none": {"", noToken},
		} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
			r.Header.Set("Authorization", "Bearer "+c.token)
			got := answer(v.Middleware(welcome), r)
			for _, s := range []string{"Retry-After: 1", "Retry-After: 2"} { // by chance
				got = strings.Replace(got, s, "Retry-After: 3", 1)
			}
			if got != c.want {
				t.Errorf("%s: the answer is %q, want %q", name, got, c.want)
			}
		}
		var e *verify.Error
		if _, err := v.Verify(t.Context(), k.token(claims(nil))); !errors.As(err, &e) || !errors.Is(err, verify.ErrKeysUnavailable) || e.RetryAt.Before(time.Now()) {
			t.Errorf("%v, to be retried at %v", err, e.RetryAt)
		}
	})
}

// TestWriteError is about what does not come from the middleware.
func TestWriteError(t *testing.T) {
	for name, err := range map[string]error{"nil": nil, "another": errDatabase, "cancelled": context.Canceled} {
		w := httptest.NewRecorder()
		if verify.WriteError(w, err); w.Code != 500 || w.Header().Get("WWW-Authenticate") != "" || strings.Contains(w.Body.String(), "database") {
			t.Errorf("%s: %d %v %q", name, w.Code, w.Header(), w.Body)
		}
	}
	for kind, want := range map[verify.Kind]int{verify.ErrRevoked: 401, verify.ErrTenant: 403, verify.ErrKeysUnavailable: 503, verify.Kind("x"): 401} { // as others make them
		w := httptest.NewRecorder()
		if verify.WriteError(w, fmt.Errorf("wrapped: %w", &verify.Error{Kind: kind})); w.Code != want {
			t.Errorf("%s: %d, want %d", string(kind), w.Code, want)
		}
	}
}

func TestRequireRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		v := setup{keys: []any{newSigner("k1").entry()}, opts: verify.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}.open(t)
		for role, want := range map[string]string{"Orders.Read": "200\r\n", "Orders.Write": "200\r\n", "orders.read": forbidden, "Admin": forbidden, "": forbidden} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
			r.Header.Set("Authorization", "Bearer "+newSigner("k1").token(claims(nil)))
			if got := answer(v.Middleware(verify.RequireRole(role, welcome)), r); got != want {
				t.Errorf("%s: the answer is %q, want %q", role, got, want)
			}
			if got := answer(verify.RequireRole(role, welcome), r); !strings.HasPrefix(got, "500\r\n") {
				t.Errorf("%s: the answer without the middleware is %q", role, got)
			}
		}
		if strings.Count(log.String(), "\n") != 3 || !strings.Contains(log.String(), "for role Admin") {
			t.Errorf("%q does not tell of three refusals", log.String())
		}
	})
}

// TestChallenge reads the claims challenge as clients do.
func TestChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since := time.Now().Add(time.Second / 2)
		v := setup{opts: verify.Options{Revoked: func(context.Context, *verify.Caller) (time.Time, bool) { return since, true }}}.open(t)
		for name, c := range map[string]struct {
			capabilities any
			can          bool
		}{"cp1": {[]string{"cp1"}, true}, "CP1": {[]string{"x", "CP1"}, true}, "none": {nil, false}, "no list": {"cp1", false}, "another": {[]string{"cp2"}, false}, "mixed": {[]any{"cp1", 1}, false}} {
			token := newSigner("k1").token(claims(fields{"xms_cc": c.capabilities}))
			caller := must(setup{}.open(t).Verify(t.Context(), token))
			r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			challenge := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { v.Challenge(w, caller, since) })
			got, want := answer(challenge, r), invalidToken
			if c.can {
				want = challenged(t, challenge)
			}
			if caller.CanAnswerChallenge() != c.can || got != want {
				t.Errorf("%s: can answer a challenge: %v; the answer is %q, want %q", name, caller.CanAnswerChallenge(), got, want)
			}
			if byMiddleware := answer(v.Middleware(welcome), r); byMiddleware != want {
				t.Errorf("%s: the middleware answers %q, want %q", name, byMiddleware, want)
			}
		}
		nobody := func(w http.ResponseWriter, _ *http.Request) { v.Challenge(w, nil, since) }
		if got := answer(http.HandlerFunc(nobody), nil); got != invalidToken {
			t.Errorf("nobody: %q", got)
		}
		now := func(w http.ResponseWriter, _ *http.Request) {
			v.Challenge(w, must(setup{}.open(t).Verify(t.Context(), newSigner("k1").token(claims(fields{"xms_cc": []string{"cp1"}})))), time.Time{})
		}
		challenged(t, http.HandlerFunc(now))
	})
}

// challenged returns what a challenge of the bubble's first second is, and looks
// whether clients read it. A token of the second that had begun when somebody was
// revoked is refused, so that the next second is asked for.
func challenged(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, nil)
	got, malformed := wwwauth.Claims(w.Header())
	if want := `{"access_token":{"nbf":{"essential":true,"value":"946684800"}}}`; got != want || malformed {
		t.Errorf("claims %s, want %s", got, want)
	}
	return refusal(401, `Www-Authenticate: Bearer realm="", authorization_uri="`+host+`/common/oauth2/v2.0/authorize", error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(got))+`"`)
}

// TestRefusalsAreLogged: the operator is told what the caller is not.
func TestRefusalsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		rules := []verify.Rule{{Roles: []string{"Orders.Read"}, TenantFunc: func(context.Context, string) (bool, error) { return false, errDatabase }}}
		for name, c := range map[string]struct {
			header string
			want   []string
		}{
			"expired":     {"Bearer " + k.token(claims(fields{"exp": 1})), []string{"level=INFO", "reason.kind=expired", "reason.client=" + daemon, "reason.remedy="}},
			"forged":      {"Bearer " + newSigner(evilKey).named("k1").token(claims(nil)), []string{"level=INFO", "reason.kind=signature"}},
			"unavailable": {"Bearer " + k.token(claims(nil)), []string{"level=WARN", "reason.kind=tenant_unknown", `reason.cause="the database is down"`}},
			"nothing":     {"", []string{"reason.kind=no_token"}},
		} {
			var log strings.Builder
			v := setup{keys: []any{k.entry()}, rules: rules, opts: verify.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}.open(t)
			r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
			r.Header.Set("Authorization", c.header)
			answer(v.Middleware(welcome), r)
			for _, want := range c.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%s: %q is not in %s", name, want, log.String())
				}
			}
			for part := range strings.SplitSeq(c.header, ".") {
				if len(part) > 20 && strings.Contains(log.String(), part[:20]) || strings.Count(log.String(), "\n") != 1 {
					t.Errorf("%s: %s", name, log.String())
				}
			}
		}
	})
}
