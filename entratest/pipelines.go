// SPDX-License-Identifier: MIT

package entratest

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/internal/ident"
)

const (
	pipelinesPath      = "/pipelines/"
	pipelinesIssuer    = "https://vstoken.dev.azure.com/"
	pipelinesTokenLife = 10 * time.Minute
	pipelinesSignIn    = pipelinesPath + "_signin"
)

// pipelinesVersion are the versions in which the REST API is documented.
var pipelinesVersion = regexp.MustCompile(`^7\.[12](-preview(\.1)?)?$`)

// PipelineJob is a job of Azure Pipelines that references a service connection
// with workload identity federation. Its token service answers below the
// authority of [Server.Cloud]. The issuer is Azure DevOps itself, not Entra.
// See https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create.
type PipelineJob struct {
	s               *Server
	id              string
	subject         string
	issuer          string
	accessToken     string
	connectionID    string
	pipelineSubject string // of tokens for no service connection
}

// NewPipelineJob starts a job whose tokens have the subject, of the form
// "sc://organization/project/connection". Jobs of one organization share an
// issuer.
func (s *Server) NewPipelineJob(subject string) *PipelineJob {
	path := strings.TrimPrefix(subject, "sc://")
	organization, _, _ := strings.Cut(path, "/")
	project := path[:max(strings.LastIndex(path, "/"), 0)]
	j := &PipelineJob{
		s: s, id: ident.NewGUID(), subject: subject,
		accessToken:     newOpaque(48),
		connectionID:    ident.NewGUID(),
		pipelineSubject: "p://" + project + "/pipeline",
	}
	s.update(func() {
		src := &s.sources
		if src.organizations[organization] == "" {
			src.organizations[organization] = ident.NewGUID()
		}
		j.issuer = pipelinesIssuer + src.organizations[organization]
		src.pipelines[j.id] = j
	})
	return j
}

// Env returns the environment variables of the job's steps:
// SYSTEM_OIDCREQUESTURI, which has no query string, and SYSTEM_ACCESSTOKEN,
// which a real job only sees if its pipeline maps it. The URI is below the
// authority that [Server.Cloud] has now: call it after [Server.StartTLS].
func (j *PipelineJob) Env() map[string]string {
	return map[string]string{
		"SYSTEM_OIDCREQUESTURI": j.s.Cloud().Authority() + pipelinesPath + j.id + "/oidctoken",
		"SYSTEM_ACCESSTOKEN":    j.accessToken,
	}
}

// ServiceConnectionID returns the resource ID of the service connection, a GUID.
func (j *PipelineJob) ServiceConnectionID() string { return j.connectionID }

// Issuer returns the issuer of the organization's tokens.
func (j *PipelineJob) Issuer() *Issuer { return j.s.issuerAt(j.issuer) }

// FederatedCredential returns what makes an app accept the job's tokens.
func (j *PipelineJob) FederatedCredential() FederatedCredential {
	return FederatedCredential{Issuer: j.issuer, Subject: j.subject, Audience: j.s.Cloud().ExchangeAudience()}
}

// pipelines answers as Azure DevOps does.
func (c *call) pipelines(string) answer {
	if c.r.URL.Path == pipelinesSignIn {
		// A client that follows the redirect below arrives here, at a success that
		// holds no token.
		return answer{status: http.StatusNonAuthoritativeInfo, body: rawBody{"text/html; charset=utf-8", "<html><title>Sign in</title></html>"}}
	}
	return c.pipelineToken().with("X-VSS-E2EID", c.trace)
}

func (c *call) pipelineToken() answer {
	id, endpoint, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, pipelinesPath), "/")
	c.s.mu.RLock()
	j := c.s.sources.pipelines[id]
	c.s.mu.RUnlock()
	q := c.r.URL.Query()
	switch {
	case j == nil || endpoint != "oidctoken":
		return pipelinesRefusal(http.StatusNotFound, "there is no such job")
	case !c.hasBearer(j.accessToken):
		const reason = "the bearer token is not the job's access token"
		if strings.EqualFold(c.r.Header.Get("X-TFS-FedAuthRedirect"), "Suppress") {
			return answer{status: unauthorized, reason: reason}.with("WWW-Authenticate", "Bearer")
		}
		return answer{status: http.StatusFound, reason: reason}.with("Location", c.base+pipelinesSignIn)
	case c.r.Method != http.MethodPost:
		// Clients written for GitHub Actions are known to stumble over this shape:
		// there is a "value", and it is no token.
		return methodNotAllowed("POST", map[string]any{"count": 1, "value": map[string]string{
			"Message": "The requested resource does not support http method '" + shorten(c.r.Method, 20) + "'.",
		}})
	case !pipelinesVersion.MatchString(q.Get("api-version")):
		return pipelinesRefusal(badRequest, "api-version is invalid or missing, want 7.1")
	}
	subject := j.subject
	switch connection := q.Get("serviceConnectionId"); {
	case connection == "":
		subject = j.pipelineSubject
	case !strings.EqualFold(connection, j.connectionID):
		return pipelinesRefusal(http.StatusNotFound, "the job references no such service connection")
	}
	token, err := c.outsideToken(j.issuer, pipelinesTokenLife, 0, jwt.MapClaims{
		// The audience is not the caller's to choose.
		"sub": subject, "aud": c.s.Cloud().ExchangeAudience(), "jti": ident.NewGUID(),
	})
	if err != nil {
		return pipelinesRefusal(http.StatusInternalServerError, err.Error())
	}
	return answer{status: http.StatusOK, body: map[string]string{"oidcToken": token}}
}

func pipelinesRefusal(status int, message string) answer {
	return answer{status: status, reason: message, body: map[string]any{"$id": "1", "message": message, "errorCode": 0}}
}
