// SPDX-License-Identifier: MIT

package entratest

import (
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/internal/ident"
)

const (
	githubPath    = "/github/"
	githubIssuer  = "https://token.actions.githubusercontent.com"
	githubVersion = "2.0"

	// githubTokenLife and githubBack are those of GitHub's documented sample.
	githubTokenLife = 5 * time.Minute
	githubBack      = 10 * time.Minute
	// githubJobLife is how long after its start a job was seen to get tokens.
	githubJobLife = 6*time.Hour + 10*time.Minute
)

// GitHubJob is a job of GitHub Actions with the permission id-token: write. Its
// token service answers below the authority of [Server.Cloud].
// See https://docs.github.com/actions/reference/security/oidc.
type GitHubJob struct {
	s            *Server
	id           string
	subject      string
	owner        string
	claims       jwt.MapClaims // what follows from the subject
	requestToken string
	began        time.Time
}

// NewGitHubJob starts a job, by the emulator's clock, whose ID tokens have the
// subject: "repo:octo-org/app:ref:refs/heads/main",
// "repo:octo-org/app:environment:prod", "repo:octo-org/app:pull_request", the
// immutable form "repo:octo-org@1/app@2:…", or anything else that a customised
// template would give. Claims about repository, ref, environment and event are
// in the tokens if they follow from it.
func (s *Server) NewGitHubJob(subject string) *GitHubJob {
	j := &GitHubJob{
		s: s, id: ident.NewGUID(), subject: subject,
		claims:       githubClaims(subject),
		requestToken: newOpaque(48),
		began:        s.Now(),
	}
	j.owner, _ = j.claims["repository_owner"].(string)
	if j.owner == "" {
		j.owner = "octo-org" // a job always has one, although a customised subject may not say it
	}
	s.update(func() { s.sources.jobs[j.id] = j })
	return j
}

// Env returns the environment variables of the job's steps:
// ACTIONS_ID_TOKEN_REQUEST_URL, which already has a query string, and
// ACTIONS_ID_TOKEN_REQUEST_TOKEN, which GitHub accepts until about six hours
// after the job began. The URL is below the authority that [Server.Cloud] has
// now: call it after [Server.StartTLS].
func (j *GitHubJob) Env() map[string]string {
	return map[string]string{
		"ACTIONS_ID_TOKEN_REQUEST_URL": j.s.Cloud().Authority() + githubPath + j.id +
			"/idtoken?api-version=" + githubVersion,
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": j.requestToken,
	}
}

// Issuer returns the issuer of GitHub's ID tokens, one for all jobs of the
// emulator.
func (j *GitHubJob) Issuer() *Issuer { return j.s.issuerAt(githubIssuer) }

// FederatedCredential returns what makes an app accept the job's ID tokens for
// the exchange audience of the cloud.
func (j *GitHubJob) FederatedCredential() FederatedCredential {
	return FederatedCredential{Issuer: githubIssuer, Subject: j.subject, Audience: j.s.Cloud().ExchangeAudience()}
}

// githubClaims are those that a subject of one of the default forms implies.
func githubClaims(subject string) jwt.MapClaims {
	claims := jwt.MapClaims{}
	rest, ok := strings.CutPrefix(subject, "repo:")
	repository, context, hasContext := strings.Cut(rest, ":")
	owner, name, hasName := strings.Cut(repository, "/")
	if !ok || !hasContext || !hasName {
		return claims
	}
	owner, ownerID, immutable := strings.Cut(owner, "@")
	name, repositoryID, _ := strings.Cut(name, "@")
	if immutable {
		claims["repository_owner_id"] = ownerID
		claims["repository_id"] = repositoryID
	}
	claims["repository"] = owner + "/" + name
	claims["repository_owner"] = owner
	switch kind, value, _ := strings.Cut(context, ":"); kind {
	case "ref":
		claims["ref"] = value
		claims["event_name"] = "push"
		switch {
		case strings.HasPrefix(value, "refs/heads/"):
			claims["ref_type"] = "branch"
		case strings.HasPrefix(value, "refs/tags/"):
			claims["ref_type"] = "tag"
		}
	case "environment":
		claims["environment"] = value
	case "pull_request":
		claims["event_name"] = "pull_request"
	}
	return claims
}

// github answers as the token service of a job does.
func (c *call) github(string) answer {
	id, endpoint, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, githubPath), "/")
	c.s.mu.RLock()
	j := c.s.sources.jobs[id]
	c.s.mu.RUnlock()
	q := c.r.URL.Query()
	switch {
	case j == nil || endpoint != "idtoken":
		return githubRefusal(http.StatusNotFound, "there is no such job")
	case c.r.Method != http.MethodGet:
		return methodNotAllowed("GET", map[string]string{"message": "only GET is served here"})
	case !c.hasBearer(j.requestToken):
		return githubRefusal(unauthorized, "the bearer token is not the job's request token")
	case !c.now.Before(j.began.Add(githubJobLife)):
		return githubRefusal(unauthorized, "the job's request token has expired")
	case q.Get("api-version") != githubVersion:
		// What a client sends that appends "?audience=" to a URL which has a query.
		return githubRefusal(badRequest, "api-version is invalid or missing, want "+githubVersion)
	}
	audience := q.Get("audience")
	if audience == "" {
		audience = "https://github.com/" + j.owner
	}
	claims := jwt.MapClaims{"sub": j.subject, "aud": audience, "jti": ident.NewGUID()}
	maps.Copy(claims, j.claims)
	token, err := c.outsideToken(githubIssuer, githubTokenLife, githubBack, claims)
	if err != nil {
		return githubRefusal(http.StatusInternalServerError, err.Error())
	}
	return answer{status: http.StatusOK, body: map[string]any{"count": len(token), "value": token}}
}

func githubRefusal(status int, message string) answer {
	ans := answer{status: status, reason: message, body: map[string]string{"message": message}}
	if status == unauthorized {
		return ans.with("WWW-Authenticate", "Bearer")
	}
	return ans
}
