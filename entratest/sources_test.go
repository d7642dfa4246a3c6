// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

const exchangeAudience = "api://AzureADTokenExchange"

// sourceRequest is a request to a source of assertions; a row of the tests
// below breaks one thing about it.
type sourceRequest struct {
	method, url string
	query       url.Values
	header      http.Header
}

type sourceAnswer struct {
	status int
	header http.Header
	body   string
}

// assertionSource is a source and what its tests need to know of it.
type assertionSource struct {
	good       sourceRequest
	token      func(body string) string // the JWT in a good answer
	credential entratest.FederatedCredential
	lifetime   time.Duration
	back       time.Duration // from iat to nbf
	secret     string        // that a program shows to get a token, if any
}

// assertionSources starts one of each kind.
func assertionSources(s *entratest.Server) map[string]assertionSource {
	field := func(name string) func(string) string {
		return func(body string) string {
			var object map[string]any
			_ = json.Unmarshal([]byte(body), &object)
			value, _ := object[name].(string)
			return value
		}
	}
	identity := s.Tenant().NewManagedIdentity()
	job := s.NewGitHubJob("repo:octo-org/app:ref:refs/heads/main")
	pipeline := s.NewPipelineJob("sc://contoso/project/connection")
	vm := s.NewGoogleVM()
	github, githubQuery, _ := strings.Cut(job.Env()["ACTIONS_ID_TOKEN_REQUEST_URL"], "?")
	query, _ := url.ParseQuery(githubQuery)
	query.Set("audience", exchangeAudience)
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	githubToken := job.Env()["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
	pipelineToken := pipeline.Env()["SYSTEM_ACCESSTOKEN"]

	return map[string]assertionSource{
		"imds": {
			good: sourceRequest{"GET", "http://169.254.169.254/metadata/identity/oauth2/token",
				url.Values{"api-version": {"2018-02-01"}, "resource": {exchangeAudience}}, http.Header{"Metadata": {"true"}}},
			token: field("access_token"), credential: identity.FederatedCredential(), lifetime: 24 * time.Hour,
		},
		"github": {
			good:  sourceRequest{"GET", github, query, bearer(githubToken)},
			token: field("value"), credential: job.FederatedCredential(), lifetime: 5 * time.Minute, back: 10 * time.Minute,
			secret: githubToken,
		},
		"pipelines": {
			good: sourceRequest{"POST", pipeline.Env()["SYSTEM_OIDCREQUESTURI"],
				url.Values{"api-version": {"7.1"}, "serviceConnectionId": {pipeline.ServiceConnectionID()}}, bearer(pipelineToken)},
			token: field("oidcToken"), credential: pipeline.FederatedCredential(), lifetime: 10 * time.Minute,
			secret: pipelineToken,
		},
		"google": {
			good: sourceRequest{"GET", "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity",
				url.Values{"audience": {exchangeAudience}, "format": {"full"}}, http.Header{"Metadata-Flavor": {"Google"}}},
			token: func(body string) string { return body }, credential: vm.FederatedCredential(), lifetime: time.Hour,
		},
	}
}

func (r sourceRequest) clone() sourceRequest {
	r.query, r.header = maps.Clone(r.query), r.header.Clone()
	return r
}

// send does not follow redirects.
func (r sourceRequest) send(t *testing.T, s *entratest.Server) sourceAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, r.url+"?"+r.query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.header
	resp, err := s.HTTPClient().Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return sourceAnswer{resp.StatusCode, resp.Header, string(body)}
}

// fetch returns the JWT that a source gives.
func (a assertionSource) fetch(t *testing.T, s *entratest.Server) string {
	t.Helper()
	got := a.good.send(t, s)
	token := a.token(got.body)
	if got.status != http.StatusOK || strings.Count(token, ".") != 2 {
		t.Fatalf("got %d %s, want 200 with a token", got.status, got.body)
	}
	return token
}

// TestSourcesExchange follows each source's token from the program to an access
// token, and through its life.
func TestSourcesExchange(t *testing.T) {
	for _, name := range []string{"imds", "github", "pipelines", "google"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := entratest.New(t)
				src := assertionSources(s)[name]
				token := src.fetch(t, s)
				if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); got.Status != http.StatusUnauthorized {
					t.Errorf("before the app trusts it: %d, want 401", got.Status)
				}
				s.App().AddFederatedCredential(src.credential)
				if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); got.AccessToken == "" {
					t.Fatalf("once the app trusts it: %d %s", got.Status, got.Description)
				}

				claims := claimsOf(t, token)
				iat, _ := claims.GetIssuedAt()
				nbf, _ := claims.GetNotBefore()
				exp, _ := claims.GetExpirationTime()
				if iat == nil || nbf == nil || exp == nil {
					t.Fatalf("iat %v, nbf %v, exp %v: one is missing", iat, nbf, exp)
				}
				if got := exp.Sub(iat.Time); got != src.lifetime {
					t.Errorf("lives for %v, want %v", got, src.lifetime)
				}
				if got := iat.Sub(nbf.Time); got != src.back {
					t.Errorf("valid from %v before its issue, want %v", got, src.back)
				}
				if !iat.Equal(time.Now()) {
					t.Errorf("iat = %v, want now, %v", iat, time.Now())
				}

				time.Sleep(src.lifetime + 5*time.Minute)
				got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token))
				if !slices.Equal(got.Codes, []int{700024}) {
					t.Errorf("when it has ended: %v, want 700024", got.Codes)
				}

				s.SetClockOffset(30 * 24 * time.Hour)
				if name != "github" { // whose request token has ended by then
					if iat, _ := claimsOf(t, src.fetch(t, s)).GetIssuedAt(); !iat.Equal(time.Now().Add(30 * 24 * time.Hour)) {
						t.Errorf("iat = %v, want that of the emulator's clock", iat)
					}
				}
			})
		})
	}
}

func TestSourcesRefuse(t *testing.T) {
	type edit = func(r *sourceRequest)
	method := func(m string) edit { return func(r *sourceRequest) { r.method = m } }
	query := func(k, v string) edit { return func(r *sourceRequest) { r.query.Set(k, v) } }
	noQuery := func(k string) edit { return func(r *sourceRequest) { r.query.Del(k) } }
	header := func(k, v string) edit { return func(r *sourceRequest) { r.header.Set(k, v) } }
	noHeader := func(k string) edit { return func(r *sourceRequest) { r.header.Del(k) } }
	path := func(from, to string) edit {
		return func(r *sourceRequest) { r.url = strings.Replace(r.url, from, to, 1) }
	}
	all := func(edits ...edit) edit {
		return func(r *sourceRequest) {
			for _, e := range edits {
				e(r)
			}
		}
	}
	const guid = "11111111-2222-4333-8444-555555555555"

	for _, tt := range []struct {
		source, name string
		edit         edit
		status       int
		body         string // part of it
	}{
		{"imds", "verb POST", method("POST"), 405, "method"},
		{"imds", "header missing", noHeader("Metadata"), 400, `"error":"invalid_request"`},
		{"imds", "header false", header("Metadata", "false"), 400, "Metadata: true"},
		{"imds", "forwarded", header("X-Forwarded-For", "10.0.0.1"), 400, "forwarded"},
		{"imds", "forwarded, nobody named", header("X-Forwarded-For", ""), 400, "forwarded"},
		{"imds", "version missing", noQuery("api-version"), 400, "newest-versions"},
		{"imds", "version of App Service", query("api-version", "2019-08-01"), 400, "newest-versions"},
		{"imds", "resource missing", noQuery("resource"), 400, "resource is missing"},
		{"imds", "resource unknown", query("resource", "https://nobody.test"), 400, "AADSTS500011"},
		{"imds", "scope in place of resource", query("resource", exchangeAudience+"/.default"), 400, "AADSTS500011"},
		{"imds", "client ID unknown", query("client_id", guid), 400, "Identity not found"},
		{"imds", "object ID unknown", query("object_id", guid), 400, "Identity not found"},
		{"imds", "resource ID unknown", query("msi_res_id", "/subscriptions/x"), 400, "Identity not found"},
		{"imds", "path below", path("/token", "/token/x"), 404, ""},

		{"github", "verb POST", method("POST"), 405, "GET"},
		{"github", "verb HEAD", method("HEAD"), 405, ""},
		{"github", "bearer missing", noHeader("Authorization"), 401, "request token"},
		{"github", "bearer empty", header("Authorization", "Bearer "), 401, "request token"},
		{"github", "bearer wrong", header("Authorization", "Bearer x"), 401, "request token"},
		{"github", "Basic", func(r *sourceRequest) {
			r.header.Set("Authorization", strings.Replace(r.header.Get("Authorization"), "Bearer", "Basic", 1))
		}, 401, "request token"},
		{"github", "version missing", noQuery("api-version"), 400, "api-version"},
		{"github", "audience behind a second question mark",
			all(noQuery("audience"), query("api-version", "2.0?audience="+exchangeAudience)), 400, "api-version"},
		{"github", "job unknown", path("/github/", "/github/"+guid), 404, "job"},
		{"github", "path below", path("idtoken", "idtoken/x"), 404, "job"},
		{"github", "without TLS", path("https://login.entra.test", "http://169.254.169.254"), 404, ""},

		{"pipelines", "verb GET", method("GET"), 405,
			`{"count":1,"value":{"Message":"The requested resource does not support http method 'GET'."}}`},
		{"pipelines", "bearer missing", noHeader("Authorization"), 302, ""},
		{"pipelines", "bearer wrong", header("Authorization", "Bearer x"), 302, ""},
		{"pipelines", "bearer wrong, redirect suppressed",
			all(header("Authorization", "Bearer x"), header("X-TFS-FedAuthRedirect", "Suppress")), 401, ""},
		{"pipelines", "bearer missing, redirect suppressed",
			all(noHeader("Authorization"), header("X-TFS-FedAuthRedirect", "Suppress")), 401, ""},
		{"pipelines", "version missing", noQuery("api-version"), 400, "api-version"},
		{"pipelines", "version of GitHub", query("api-version", "2.0"), 400, "api-version"},
		{"pipelines", "connection unknown", query("serviceConnectionId", guid), 404, "service connection"},
		{"pipelines", "connection by name", query("serviceConnectionId", "connection"), 404, "service connection"},
		{"pipelines", "job unknown", path("/pipelines/", "/pipelines/"+guid), 404, "job"},
		{"pipelines", "path below", path("oidctoken", "oidctoken/x"), 404, "job"},

		{"google", "verb POST", method("POST"), 405, "GET"},
		{"google", "header missing", noHeader("Metadata-Flavor"), 403, "Metadata-Flavor"},
		{"google", "header of Azure", all(noHeader("Metadata-Flavor"), header("Metadata", "true")), 403, "Metadata-Flavor"},
		{"google", "forwarded", header("X-Forwarded-For", "10.0.0.1"), 403, "forwarded"},
		{"google", "audience missing", noQuery("audience"), 400, "audience"},
		{"google", "audience empty", query("audience", ""), 400, "audience"},
		{"google", "format unknown", query("format", "jwt"), 400, "format"},
		{"google", "account unknown", path("default", "nobody@developer.gserviceaccount.com"), 404, "service account"},
		{"google", "other endpoint", path("identity", "token"), 404, "service account"},
	} {
		t.Run(tt.source+" "+tt.name, func(t *testing.T) {
			s := entratest.New(t)
			src := assertionSources(s)[tt.source]
			src.fetch(t, s) // or a broken request would prove nothing
			req := src.good.clone()
			tt.edit(&req)
			got := req.send(t, s)
			if got.status != tt.status || !strings.Contains(got.body, tt.body) {
				t.Errorf("got %d %s, want %d with %q", got.status, got.body, tt.status, tt.body)
			}
			if got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" { // RFC 9110 section 15.5.6
				t.Error("405 without Allow")
			}
			if strings.Contains(got.body, "eyJ") || src.secret != "" && strings.Contains(got.body, src.secret) {
				t.Errorf("a token in %s", got.body)
			}
			log := s.Requests()
			last := log[len(log)-1]
			if tt.body != "" && (last.Status != tt.status || last.Tenant != "" && last.Tenant != s.Tenant().ID()) {
				t.Errorf("recorded as %+v", last)
			}
			if served := tt.name != "path below" || tt.source != "imds"; served && tt.name != "without TLS" && tt.status != http.StatusMethodNotAllowed &&
				!slices.ContainsFunc(last.Comparisons, failed) {
				t.Errorf("it is not recorded why: %+v", last)
			}
			if src.secret != "" && strings.Contains(fmt.Sprintf("%+v", last), src.secret) {
				t.Errorf("a secret in %+v", last)
			}
		})
	}
}

// TestSourcesOfOutsideIssuers gives the issuers of sources keys that are
// elsewhere: nothing can be signed then, and the answer says why.
func TestSourcesOfOutsideIssuers(t *testing.T) {
	s := entratest.New(t)
	sources := assertionSources(s)
	for _, name := range []string{"github", "pipelines", "google"} {
		src := sources[name]
		src.fetch(t, s)
		outside, err := s.AddIssuer(src.credential.Issuer, s.Issuer().JWKS())
		if err != nil {
			t.Fatal(err)
		}
		got := src.good.send(t, s)
		if got.status != http.StatusInternalServerError || !strings.Contains(got.body, "is not here, it was made by AddIssuer") {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		outside.Remove()
		src.fetch(t, s) // with an issuer of its own again
	}
}

// TestSourcesRecord checks that what is asked of a source is in the record, and
// what it is asked with is not.
func TestSourcesRecord(t *testing.T) {
	s := entratest.New(t)
	var secrets []string
	sources := assertionSources(s)
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		src := sources[name]
		token := src.fetch(t, s)
		secrets = append(secrets, token[strings.LastIndex(token, ".")+1:], "AzureADTokenExchange")
		if src.secret != "" {
			secrets = append(secrets, src.secret)
		}
	}
	log := s.Requests()
	var paths []string
	for _, r := range log {
		paths = append(paths, r.Method+" "+r.Host+" "+strings.Split(r.Path, "/")[1]+fmt.Sprintf(" %d", r.Status))
	}
	if want := []string{
		"GET login.entra.test github 200",
		"GET metadata.google.internal computeMetadata 200",
		"GET 169.254.169.254 metadata 200",
		"POST login.entra.test pipelines 200",
	}; !slices.Equal(paths, want) {
		t.Errorf("recorded %q, want %q", paths, want)
	}
	if got := s.TokenRequests(); got != 0 {
		t.Errorf("TokenRequests = %d: a source is no token endpoint", got)
	}
	if got := log[2]; got.Tenant != s.Tenant().ID() || got.ClientID == "" {
		t.Errorf("managed identity recorded as %+v, want its tenant and client ID", got)
	}
	data, err := json.Marshal(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(data), secret) {
			t.Errorf("the record holds %q: %s", secret, data)
		}
	}
}

// TestIssuerOfASourceIsOne asks at once: a second issuer would take the
// place of the first, and what that had signed would be worthless.
func TestIssuerOfASourceIsOne(t *testing.T) {
	s := entratest.New(t)
	for i := range 300 {
		job := s.NewPipelineJob(fmt.Sprintf("sc://organization%d/project/connection", i))
		var found [8]*entratest.Issuer
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range found {
			wg.Go(func() {
				<-start
				found[i] = job.Issuer()
			})
		}
		close(start)
		wg.Wait()
		if slices.ContainsFunc(found[:], func(i *entratest.Issuer) bool { return i != found[0] }) {
			t.Fatal("there are several issuers with one URL")
		}
	}
}

// TestSourcesWhileServing is for the race detector.
func TestSourcesWhileServing(t *testing.T) {
	s := entratest.New(t)
	sources := assertionSources(s)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20 {
			s.NewGitHubJob("repo:a/b:pull_request").Issuer()
			s.NewPipelineJob("sc://a/b/c").Issuer()
			s.AddTenant().NewManagedIdentity()
			s.Tenant().RevokeTokens(s.App())
		}
	})
	for range 2 {
		wg.Go(func() {
			for range 20 {
				s.NewGitHubJob("repo:a/b:pull_request")
				s.NewPipelineJob("sc://a/b/c")
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			s.NewIssuer(fmt.Sprintf("https://i%d.test", i))
		}
	})
	for range 5 {
		for _, name := range []string{"github", "pipelines", "google"} {
			s.App().AddFederatedCredential(sources[name].credential)
			if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, sources[name].fetch(t, s))); got.Status != http.StatusOK {
				t.Errorf("%s: %d %s", name, got.Status, got.Description)
			}
		}
		sources["imds"].good.send(t, s) // several identities by now, perhaps
	}
	wg.Wait()
}
