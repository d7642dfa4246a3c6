// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// setAll sets variables.
func setAll(t *testing.T, vars map[string]string) {
	t.Helper()
	for name, value := range vars {
		t.Setenv(name, value)
	}
}

// A workload is one that the emulator plays, with its surroundings.
type workload struct {
	name   string
	source apponly.AssertionSource
	path   string // of the endpoint that it asks
	secret string // that it asks with, "" if there is none
}

// workloads starts one of each kind, which the app of s trusts.
func workloads(t *testing.T, s *sts) []workload {
	t.Helper()
	job := s.NewGitHubJob("repo:octo-org/app:environment:prod")
	pipeline := s.NewPipelineJob("sc://contoso/project/connection")
	vm := s.NewGoogleVM()
	identity := s.Tenant().NewManagedIdentity()
	for _, c := range []entratest.FederatedCredential{job.FederatedCredential(), pipeline.FederatedCredential(), vm.FederatedCredential(), identity.FederatedCredential()} {
		s.App().AddFederatedCredential(c)
	}
	setAll(t, job.Env())
	setAll(t, pipeline.Env())
	return []workload{
		{"GitHub Actions", apponly.GitHubActions(""), "/github/", job.Env()["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]},
		{"Azure Pipelines", apponly.AzurePipelines(pipeline.ServiceConnectionID()), "/pipelines/", pipeline.Env()["SYSTEM_ACCESSTOKEN"]},
		{"the metadata server of Google Cloud", apponly.GoogleMetadata(""), "/computeMetadata/", ""},
		{"the managed identity " + identity.ClientID(), apponly.ManagedIdentityAssertion(identity.ClientID()), "/metadata/identity/", ""},
	}
}

// eachWorkload runs a test for each of them, in a bubble.
func eachWorkload(t *testing.T, test func(t *testing.T, s *sts, w workload)) {
	for i, name := range []string{"GitHub Actions", "Azure Pipelines", "Google", "managed identity"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GCE_METADATA_HOST", "")
			// Setenv is of the test outside of the bubble.
			var s *sts
			synctest.Test(t, func(t *testing.T) {
				s = newSTS(t)
				test(t, s, workloads(t, s)[i])
			})
		})
	}
}

// From the workload to an access token, and again when that has ended.
func TestWorkloadsGetTokens(t *testing.T) {
	eachWorkload(t, func(t *testing.T, s *sts, w workload) {
		c := s.with(t, apponly.Federated(w.source))
		first := mustToken(t, c, s.API().Scope())
		time.Sleep(5 * time.Hour) // less than a job's request token is good for
		if second := mustToken(t, c, s.API().Scope()); second.Value() == first.Value() {
			t.Error("the token was not renewed")
		}
		// Equal sources are the same credential.
		before := s.TokenRequests()
		o := s.options()
		for range 2 {
			d, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Federated(w.source), o)
			if err != nil {
				t.Fatal(err)
			}
			mustToken(t, d, s.API().Scope())
		}
		if n := s.TokenRequests() - before; n != 1 {
			t.Errorf("%d token requests of two clients with one source and one cache, want 1", n)
		}
	})
}

// atSource returns a fault of the endpoint that a workload asks.
func atSource(w workload, fault func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Path, w.path) {
			return fault(r)
		}
		return nil, nil
	}
}

// Whatever a source answers in place of an assertion, Entra is not asked, the source
// is named, and what it is asked with stays where it belongs.
func TestWorkloadsThatGetNothing(t *testing.T) {
	redirect := status(http.StatusFound, "", "Location", "https://elsewhere.test/")
	for name, fault := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		text   string // part of the error
		first  int    // how many of the workloads it is for; 0: all
	}{
		"refused":         {status(401, `{"message":"no"}`), "401", 0},
		"forbidden":       {status(403, ""), "403", 0},
		"not there":       {status(404, ""), "", 0},
		"broken":          {status(500, "<html>"), "500", 3},
		"redirect":        {redirect, "", 0},
		"another success": {status(204, ""), "204", 3},
		"no JSON":         {status(200, "<html>"), "", 0},
		"no token":        {status(200, "{}"), "", 0},
		"empty token":     {status(200, `{"value":"","oidcToken":"","access_token":""}`), "", 0},
		"null":            {status(200, `{"value":null,"oidcToken":null}`), "", 0},
		"another type":    {status(200, `{"value":{"Message":"no"},"oidcToken":[1]}`), "", 3},
		"not a JWT":       {status(200, `{"value":"abc","oidcToken":"abc"}`), "JWT", 3},
		"too large":       {status(200, strings.Repeat("x", 2<<20)), "larger than 1 MiB", 3},
		"no answer":       {hang, "no answer in time", 3},
		"no connection":   {func(*http.Request) (*http.Response, error) { return nil, errors.New("dial: eyJ secret") }, "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			eachWorkload(t, func(t *testing.T, s *sts, w workload) {
				if managed := w.path == "/metadata/identity/"; managed && fault.first == 3 {
					return // azidentity asks again for minutes, and its errors are tested elsewhere
				}
				var elsewhere atomic.Int64
				s.setFault(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "elsewhere.test" {
						elsewhere.Add(1)
					}
					return atSource(w, fault.answer)(r)
				})
				c := s.with(t, apponly.Federated(w.source))
				_, err := c.Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrCredentialUnavailable, w.name, fault.text)
				if text := fmt.Sprintf("%+v", err); w.secret != "" && strings.Contains(text, w.secret) || strings.Contains(text, "eyJ") {
					t.Errorf("the error holds a token: %s", text)
				}
				if n := s.TokenRequests(); n != 0 {
					t.Errorf("%d token requests without an assertion", n)
				}
				if n := elsewhere.Load(); n != 0 {
					t.Errorf("%d requests to where a redirect points", n)
				}
				s.setFault(nil)
				time.Sleep(time.Hour)
				mustToken(t, c, s.API().Scope())
			})
		})
	}
}

// What a workload says that is refused for a reason one can do something about.
func TestWorkloadsSayWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		which  string
		answer func(*http.Request) (*http.Response, error)
		text   string
		detail string
	}{
		"job without permission":  {"GitHub Actions", status(403, `{"message":"Resource not accessible"}`), "id-token: write", "it says: Resource not accessible"},
		"job of yesterday":        {"GitHub Actions", status(401, ""), "six hours", ""},
		"access token ended":      {"Azure Pipelines", status(401, "", "X-VSS-E2EID", "c0ffee"), "SYSTEM_ACCESSTOKEN", "X-Vss-E2eid: c0ffee"},
		"sign-in page":            {"Azure Pipelines", status(302, "", "Location", "https://elsewhere.test/"), "SYSTEM_ACCESSTOKEN", ""},
		"connection not named":    {"Azure Pipelines", status(404, `{"message":"not found"}`), "has to name the service connection", "it says: not found"},
		"no service account":      {"Google", status(404, "unknown"), "no service account", "it says: unknown"},
		"says what it was sent":   {"GitHub Actions", func(r *http.Request) (*http.Response, error) { return status(400, r.Header.Get("Authorization"))(r) }, "400 Bad Request", ""},
		"says a token of its own": {"Google", status(400, "eyJhbGciOiJub25lIn0.e30."), "400 Bad Request", ""},
	} {
		t.Run(name, func(t *testing.T) {
			eachWorkload(t, func(t *testing.T, s *sts, w workload) {
				if !strings.Contains(w.name, test.which) {
					return
				}
				s.setFault(atSource(w, test.answer))
				_, err := s.with(t, apponly.Federated(w.source)).Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrCredentialUnavailable, test.text)
				details := fmt.Sprintf("%+v", err)
				if !strings.Contains(details, test.detail) {
					t.Errorf("details = %s, want %q in them", details, test.detail)
				}
				if w.secret != "" && strings.Contains(details, w.secret) || strings.Contains(details, "eyJ") {
					t.Errorf("details hold a token: %s", details)
				}
			})
		})
	}
}

// What passes is asked for again, for as long as a caller waits.
func TestWorkloadsTryAgain(t *testing.T) {
	eachWorkload(t, func(t *testing.T, s *sts, w workload) {
		var failures atomic.Int64
		s.setFault(atSource(w, func(r *http.Request) (*http.Response, error) {
			if failures.Add(1) <= 2 {
				return status(503, "")(r)
			}
			return nil, nil
		}))
		mustToken(t, s.with(t, apponly.Federated(w.source)), s.API().Scope())
	})
}

// Many tenants that need a token at once ask the source once, or a few times, and
// never at the same time.
func TestWorkloadIsAskedOnceAtATime(t *testing.T) {
	eachWorkload(t, func(t *testing.T, s *sts, w workload) {
		var asked, underWay, most atomic.Int64
		s.setFault(atSource(w, func(r *http.Request) (*http.Response, error) {
			asked.Add(1)
			most.Store(max(most.Load(), underWay.Add(1)))
			time.Sleep(100 * time.Millisecond)
			underWay.Add(-1)
			return nil, nil
		}))
		o := s.options()
		o.AllowedTenants = []string{"*"}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Federated(w.source), o)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 100 {
			tenant := s.AddTenant()
			tenant.Install(s.App())
			tenant.Provide(s.API())
			s.API().Grant(tenant, s.App(), "Data.Read.All")
			view, err := c.Tenant(tenant.ID())
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				if _, err := view.Token(t.Context(), s.API().Scope()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if asked.Load() > 3 || most.Load() != 1 {
			t.Errorf("asked %d times, %d at a time; want a few times, one at a time", asked.Load(), most.Load())
		}
	})
}

// A source that hangs costs the flights that need it, and no token that is there.
func TestWorkloadThatHangs(t *testing.T) {
	eachWorkload(t, func(t *testing.T, s *sts, w workload) {
		c := s.with(t, apponly.Federated(w.source))
		mustToken(t, c, s.API().Scope())
		s.setFault(atSource(w, hang))
		began := time.Now()
		mustToken(t, c, s.API().Scope())
		if took := time.Since(began); took != 0 {
			t.Errorf("a token in the cache took %v", took)
		}
		_, err := c.Token(t.Context(), "https://nothing.example/.default")
		if w.path == "/metadata/identity/" {
			wantKind(t, err, apponly.ErrResourceNotFound) // its token was there, and so Entra was asked
		} else {
			wantKind(t, err, apponly.ErrCredentialUnavailable, w.name)
		}
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("failed after %v, want no more than a token request may take", took)
		}
		mustToken(t, s.client(t), s.API().Scope()) // by a secret, with the same HTTP client
	})
}

// The way that a token is asked for with a token of somebody else's is checked before
// anything is sent.
func TestWorkloadsThatCannotBe(t *testing.T) {
	const token, someID = "request-token", "7d3d1b6c-2f5c-4f0e-9d0a-0d8a5b8f7c11"
	url := "https://pipelines.test/oidc?api-version=2.0"
	for _, test := range []struct {
		source apponly.AssertionSource
		env    map[string]string
		texts  []string
	}{
		{apponly.GitHubActions(""), nil, []string{"ACTIONS_ID_TOKEN_REQUEST_URL is not set", "ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set", "id-token: write"}},
		{apponly.GitHubActions(""), map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": url}, []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set"}},
		{apponly.GitHubActions(""), map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "http://pipelines.test/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token}, []string{"is not an https URL"}},
		{apponly.GitHubActions(""), map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://request-token@pipelines.test/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token}, []string{"is not an https URL"}},
		{apponly.GitHubActions(""), map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "pipelines.test", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token}, []string{"is not an https URL"}},
		{apponly.GitHubActions(""), map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://:443/x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token}, []string{"is not an https URL"}},
		{apponly.GitHubActions(""), map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token\nHost: x"}, []string{"has characters in it that no token has"}},
		{apponly.AzurePipelines(""), nil, []string{"no service connection is named", "SYSTEM_OIDCREQUESTURI is not set", "SYSTEM_ACCESSTOKEN: $(System.AccessToken)"}},
		{apponly.AzurePipelines("connection"), map[string]string{"SYSTEM_OIDCREQUESTURI": url, "SYSTEM_ACCESSTOKEN": token}, []string{"is not a GUID"}},
		{apponly.AzurePipelines(someID), map[string]string{"SYSTEM_OIDCREQUESTURI": url, "SYSTEM_ACCESSTOKEN": "$(System_AccessToken)"}, []string{"a macro that nothing has filled in"}},
		{apponly.AzurePipelines(someID), map[string]string{"SYSTEM_OIDCREQUESTURI": "http://pipelines.test", "SYSTEM_ACCESSTOKEN": token}, []string{"SYSTEM_OIDCREQUESTURI is not an https URL"}},
		{apponly.GoogleMetadata(""), map[string]string{"GCE_METADATA_HOST": "http://metadata.test"}, []string{"GCE_METADATA_HOST is not a host"}},
		{apponly.GoogleMetadata(""), map[string]string{"GCE_METADATA_HOST": "request-token@metadata.test"}, []string{"GCE_METADATA_HOST is not a host"}},
		{apponly.GoogleMetadata(""), map[string]string{"GCE_METADATA_HOST": "metadata.test/x"}, []string{"GCE_METADATA_HOST is not a host"}},
		{apponly.AssertionEnv(""), nil, []string{"name of the variable"}},
		{apponly.AssertionEnv("A=B"), nil, []string{"name of the variable"}},
		{apponly.AssertionEnv("ENTRA_ID_TOKEN"), nil, []string{"ENTRA_ID_TOKEN is not set"}},
		{apponly.AssertionEnv("ENTRA_ID_TOKEN"), map[string]string{"ENTRA_ID_TOKEN": " \n"}, []string{"ENTRA_ID_TOKEN is not set"}},
		{apponly.AssertionCommand(""), nil, []string{"no command is named"}},
		{apponly.ManagedIdentityAssertion(""), nil, []string{"ManagedIdentityAssertion", "client ID"}},
		{apponly.ManagedIdentityAssertion("worker"), nil, []string{"ManagedIdentityAssertion", "client ID"}},
		{apponly.ClientAssertion(nil), nil, []string{"ClientAssertion", "nil"}},
		{apponly.ClientAssertion(new(apponly.Client)), nil, []string{"ClientAssertion", "not made by New"}},
	} {
		for _, name := range []string{"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN", "GCE_METADATA_HOST"} {
			t.Setenv(name, test.env[name])
		}
		setAll(t, test.env)
		_, err := apponly.New(someTenant, someClient, apponly.Federated(test.source), nil)
		if err == nil {
			t.Errorf("%T: New takes it with %v", test.source, test.env)
			continue
		}
		for _, text := range test.texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("error = %q, want %q in it", err, text)
			}
		}
		if strings.Contains(err.Error(), token) {
			t.Errorf("error = %q, holds a value", err)
		}
	}
}

// A variable holds one assertion for the whole job, and says so once that has ended.
func TestAssertionEnv(t *testing.T) {
	const name = "ENTRA_ID_TOKEN"
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		t.Setenv(name, s.FederatedToken()+"\n")
		c := s.with(t, apponly.Federated(apponly.AssertionEnv(name)))
		mustToken(t, c, s.API().Scope())
		time.Sleep(2 * time.Hour)
		before := s.TokenRequests()
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrAssertionExpired, name, "cannot be renewed in this job")
		if n := s.TokenRequests() - before; n != 0 {
			t.Errorf("%d requests with an expired assertion", n)
		}
	})
}

// Errors name the source also where it gave something.
func TestSourceIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		for want, src := range map[string]apponly.AssertionSource{
			"federated assertion of the function is not a JWT":                 apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) { return "x", nil }),
			"federated assertion of apponly_test.textSource is not a JWT":      textSource("x"),
			"federated assertion of apponly_test.textSource has expired and w": textSource("e30.eyJleHAiOjkwMDAwMDAwMH0.e30"),
		} {
			_, err := s.with(t, apponly.Federated(src)).Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrCredentialUnavailable, want)
		}
	})
}

type textSource string

func (s textSource) Assertion(context.Context, apponly.AssertionRequest) (string, error) {
	return string(s), nil
}

// A source does not wait behind token requests, which may be those that wait for it.
func TestWorkloadIsAskedAheadOfTokenRequests(t *testing.T) {
	eachWorkload(t, func(t *testing.T, s *sts, w workload) {
		began := time.Now()
		asked := make(chan time.Duration, 10)
		s.setFault(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, w.path) {
				asked <- time.Since(began)
				return nil, nil
			}
			return hang(r)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 300 { // three times as many as have a turn at once
			c := s.client(t)
			wg.Go(func() { c.Token(ctx, s.API().Scope()) })
		}
		synctest.Wait()
		c := s.with(t, apponly.Federated(w.source))
		wg.Go(func() { c.Token(ctx, s.API().Scope()) })
		if took := <-asked; took > time.Second {
			t.Errorf("the source was asked after %v", took)
		}
		wg.Wait()
		time.Sleep(10 * time.Minute) // flights outlive their callers
	})
}
