// SPDX-License-Identifier: MIT

package assertionsource

import (
	"cmp"
	"context"
	"net/http"
	"net/url"

	"github.com/apponly/apponly/internal/wire"
)

// GitHubActions is the token service of a job of GitHub Actions:
// https://docs.github.com/actions/reference/security/oidc.
type GitHubActions struct {
	Audience string // "": that of the question
}

const (
	githubURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	githubWhy   = "GitHub Actions sets it for a job with permissions: id-token: write, which the pull request of a fork does not get"
)

// String returns "GitHub Actions".
func (GitHubActions) String() string { return "GitHub Actions" }

// Once implements Source.
func (GitHubActions) Once() bool { return false }

// Variables implements Source.
func (GitHubActions) Variables() []string { return []string{githubURL, githubToken} }

// Check implements Source.
func (g GitHubActions) Check() []error {
	_, _, errs := g.endpoint()
	return errs
}

func (GitHubActions) endpoint() (u *url.URL, token string, errs []error) {
	u, urlErr := secureURL(githubURL, githubWhy)
	token, tokenErr := shown(githubToken, githubWhy)
	return u, token, faults(urlErr, tokenErr)
}

// Ask implements Source. An ID token lives for five minutes.
func (g GitHubActions) Ask(ctx context.Context, client *http.Client, audience string) (string, error) {
	u, token, errs := g.endpoint()
	if len(errs) > 0 {
		return "", errs[0]
	}
	// The URL has a query already, and the owner of the repository is the audience
	// of those who name none.
	query := u.Query()
	query.Set("audience", cmp.Or(g.Audience, audience))
	u.RawQuery = query.Encode()
	q := question{
		source: g.String(), method: http.MethodGet, url: u.String(), bearer: token,
		header: http.Header{"Accept": {"application/json"}},
		hints: map[int]string{
			http.StatusUnauthorized: "it no longer takes this job's request token, which ends about six hours after the job began",
			http.StatusForbidden:    "this job may not have ID tokens: it needs permissions: id-token: write",
		},
	}
	body, err := q.ask(ctx, wire.Apart(client))
	if err != nil {
		return "", err
	}
	return q.member(body, "value")
}
