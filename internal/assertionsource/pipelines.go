// SPDX-License-Identifier: MIT

package assertionsource

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/wire"
)

// AzurePipelines is the token service of a job of Azure Pipelines:
// https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create.
type AzurePipelines struct {
	ServiceConnectionID string // its resource ID, a GUID
}

const (
	pipelinesURL   = "SYSTEM_OIDCREQUESTURI"
	pipelinesToken = "SYSTEM_ACCESSTOKEN"
)

// String returns "Azure Pipelines".
func (AzurePipelines) String() string { return "Azure Pipelines" }

// Once implements Source.
func (AzurePipelines) Once() bool { return false }

// Variables implements Source.
func (AzurePipelines) Variables() []string { return []string{pipelinesURL, pipelinesToken} }

// Check implements Source.
func (p AzurePipelines) Check() []error {
	_, _, errs := p.endpoint()
	return errs
}

func (p AzurePipelines) endpoint() (u *url.URL, token string, errs []error) {
	var idErr error
	if p.ServiceConnectionID == "" {
		idErr = errors.New("no service connection is named: want its resource ID, which tasks that use one have in AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
	} else if !ident.IsGUID(p.ServiceConnectionID) {
		idErr = errors.New("the ID of the service connection is not a GUID: want its resource ID, the resourceId= in the address of its page")
	}
	u, urlErr := secureURL(pipelinesURL, "Azure Pipelines sets it in every job")
	token, tokenErr := shown(pipelinesToken, "map it in the step: env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)")
	if tokenErr == nil && strings.HasPrefix(token, "$(") {
		tokenErr = errors.New(pipelinesToken + " is a macro that nothing has filled in: $(System.AccessToken) is spelt with a dot")
	}
	return u, token, faults(idErr, urlErr, tokenErr)
}

// Ask implements Source. The audience is the service connection's.
func (p AzurePipelines) Ask(ctx context.Context, client *http.Client, _ string) (string, error) {
	u, token, errs := p.endpoint()
	if len(errs) > 0 {
		return "", errs[0]
	}
	query := u.Query()
	query.Set("api-version", "7.1")
	query.Set("serviceConnectionId", p.ServiceConnectionID)
	u.RawQuery = query.Encode()
	q := question{
		source: p.String(), method: http.MethodPost, url: u.String(), bearer: token,
		header: http.Header{
			"Accept":       {"application/json"},
			"Content-Type": {"application/json"},
			// Or a token that is refused is answered by a redirect to where people sign in.
			"X-Tfs-Fedauthredirect": {"Suppress"},
		},
		traces: []string{"X-Vss-E2eid", "X-Msedge-Ref"},
		hints: map[int]string{
			http.StatusUnauthorized: "it does not take SYSTEM_ACCESSTOKEN, which ends with its job",
			http.StatusFound:        "it does not take SYSTEM_ACCESSTOKEN, which ends with its job",
			http.StatusForbidden:    "the job may not use the service connection: permit the pipeline in its security",
			http.StatusNotFound:     "a step of the job has to name the service connection, and the ID has to be its resource ID",
		},
	}
	body, err := q.ask(ctx, wire.Apart(client))
	if err != nil {
		return "", err
	}
	return q.member(body, "oidcToken")
}
