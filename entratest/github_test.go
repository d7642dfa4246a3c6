// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

func TestGitHubClaims(t *testing.T) {
	s := entratest.New(t)
	registered := []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti"}
	for _, tt := range []struct {
		subject, audience string // the audience when none is asked for
		want              map[string]any
	}{
		{"repo:octo-org/app:ref:refs/heads/main", "https://github.com/octo-org", map[string]any{
			"repository": "octo-org/app", "repository_owner": "octo-org",
			"ref": "refs/heads/main", "ref_type": "branch", "event_name": "push"}},
		{"repo:acme/app:ref:refs/tags/v1", "https://github.com/acme", map[string]any{
			"repository": "acme/app", "repository_owner": "acme",
			"ref": "refs/tags/v1", "ref_type": "tag", "event_name": "push"}},
		{"repo:acme/app:environment:prod", "https://github.com/acme", map[string]any{
			"repository": "acme/app", "repository_owner": "acme", "environment": "prod"}},
		{"repo:acme/app:pull_request", "https://github.com/acme", map[string]any{
			"repository": "acme/app", "repository_owner": "acme", "event_name": "pull_request"}},
		{"repo:acme@12/app@34:ref:refs/heads/a:b", "https://github.com/acme", map[string]any{
			"repository": "acme/app", "repository_owner": "acme", "repository_owner_id": "12", "repository_id": "34",
			"ref": "refs/heads/a:b", "ref_type": "branch", "event_name": "push"}},
		{"job_workflow_ref:acme/app/.github/workflows/x.yml@refs/heads/main", "https://github.com/octo-org", map[string]any{}},
		{"repo:acme", "https://github.com/octo-org", map[string]any{}},
		{"", "https://github.com/octo-org", map[string]any{}},
	} {
		t.Run(tt.subject, func(t *testing.T) {
			env := s.NewGitHubJob(tt.subject).Env()
			req, err := http.NewRequest(http.MethodGet, env["ACTIONS_ID_TOKEN_REQUEST_URL"], nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "bearer "+env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
			resp, err := s.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var body struct {
				Count int
				Value string
			}
			if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.Count != len(body.Value) {
				t.Fatalf("count %d of %d bytes, %v", body.Count, len(body.Value), err)
			}
			claims := claimsOf(t, body.Value)
			if claims["iss"] != "https://token.actions.githubusercontent.com" || claims["sub"] != tt.subject || claims["aud"] != tt.audience {
				t.Errorf("iss %v, sub %v, aud %v; want audience %s", claims["iss"], claims["sub"], claims["aud"], tt.audience)
			}
			for _, name := range registered {
				if claims[name] == nil {
					t.Errorf("%s is missing", name)
				}
				delete(claims, name)
			}
			if !maps.Equal(map[string]any(claims), tt.want) {
				t.Errorf("claims %v, want %v", claims, tt.want)
			}
		})
	}
}

// TestGitHubJobEnds is what a process meets that outlives its job: its
// environment is still there, and worth nothing.
func TestGitHubJobEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		src := assertionSources(s)["github"]
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{6 * time.Hour, 200}, {10*time.Minute - time.Second, 200}, {time.Second, 401}} {
			time.Sleep(step.wait)
			if got := src.good.send(t, s); got.status != step.want {
				t.Errorf("%v later: %d, want %d", step.wait, got.status, step.want)
			}
		}
		s.SetClockOffset(-time.Minute)
		if got := src.good.send(t, s); got.status != 200 {
			t.Errorf("by a clock set back: %d, want 200", got.status)
		}
	})
}

// TestIssuersAreShared checks that one job's issuer does not replace another's,
// and that a test can replace it for all of them.
func TestIssuersAreShared(t *testing.T) {
	s := entratest.New(t)
	first, second := s.NewPipelineJob("sc://contoso/p/c"), s.NewPipelineJob("sc://contoso/q/c")
	other := s.NewPipelineJob("sc://fabrikam/p/c")
	if first.Issuer() != second.Issuer() || first.Issuer() == other.Issuer() {
		t.Error("want one issuer per organization")
	}
	src := assertionSources(s)["github"]
	s.App().AddFederatedCredential(src.credential)
	old := src.fetch(t, s)
	s.NewIssuer(src.credential.Issuer)
	for token, want := range map[string]string{old: "[7000272]", src.fetch(t, s): "[]"} {
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); fmt.Sprint(got.Codes) != want {
			t.Errorf("codes %v, want %s", got.Codes, want)
		}
	}
}
