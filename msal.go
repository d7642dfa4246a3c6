// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/apponly/apponly/cloud"
)

// msalClients write the token requests of one identity: one client does it for all
// assertions, and one for each secret. Everything below and above MSAL is ours.
//
// All tenants are one tenant for MSAL: a client's first request for another begins
// with a look for its endpoints, which costs more than the rest. And nothing of
// MSAL's grows: as it is never given an answer, its token cache stays empty.
type msalClients struct {
	mu   sync.Mutex // guards kept
	kept []msalClient
}

// An msalClient is for one secret, or for whatever assertion comes with the context.
type msalClient struct {
	secret [32]byte                   // its fingerprint, zero for assertions
	get    func() confidential.Client // a closure: what prints structs cannot see into it
}

const (
	// maxMSALClients is for the secrets of a FirstOf, and of before a rotation.
	maxMSALClients = 4
	// anyTenant stands where MSAL wants a tenant.
	anyTenant = "00000000-0000-0000-0000-000000000000"
)

// An msalRequest is what MSAL is to write.
type msalRequest struct {
	cloud       cloud.Cloud
	clientID    string
	proof       proof
	fingerprint [32]byte // of the material that proved
	scope       string
	claims      string
	send        func(*http.Request)
}

// write has MSAL write r and hand it to r.send. MSAL's error is never wrapped: it
// holds the request, and with it the secret.
func (c *msalClients) write(ctx context.Context, r *msalRequest) *Error {
	client, err := c.of(r)
	if err != nil {
		return &Error{Kind: ErrRequestMalformed, reason: "the request could not be built"}
	}
	var opts []confidential.AcquireByCredentialOption
	if r.claims != "" {
		opts = append(opts, confidential.WithClaims(r.claims)) // as they are: MSAL is told of no capability to merge
	}
	_, _ = client.AcquireTokenByCredential(context.WithValue(ctx, msalRequestKey{}, r), []string{r.scope}, opts...)
	return nil
}

// of returns the client for r.
func (c *msalClients) of(r *msalRequest) (confidential.Client, error) {
	secret := r.fingerprint
	if r.proof.assertion {
		secret = [32]byte{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.kept, func(k msalClient) bool { return k.secret == secret }); i >= 0 {
		return c.kept[i].get(), nil
	}
	client, err := newMSALClient(r)
	if err != nil {
		return client, err
	}
	if len(c.kept) == maxMSALClients {
		c.kept = slices.Delete(c.kept, 0, 1)
	}
	c.kept = append(c.kept, msalClient{secret, func() confidential.Client { return client }})
	return client, nil
}

func newMSALClient(r *msalRequest) (confidential.Client, error) {
	var cred confidential.Credential
	var err error
	if r.proof.assertion {
		cred = confidential.NewCredFromAssertionCallback(func(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
			return ctx.Value(msalRequestKey{}).(*msalRequest).proof.value(), nil
		})
	} else if cred, err = confidential.NewCredFromSecret(r.proof.value()); err != nil {
		return confidential.Client{}, err
	}
	return confidential.New(r.cloud.Authority()+"/"+anyTenant, r.clientID, cred,
		confidential.WithHTTPClient(msalHTTP{r.cloud}),
		confidential.WithInstanceDiscovery(false),
		// MSAL reads MSAL_FORCE_REGION from the environment and would send the
		// credential to a regional host, or ask IMDS which one.
		confidential.WithAzureRegion("DisableMsalForceRegion"))
}

type msalRequestKey struct{}

// msalHTTP is what MSAL takes for its HTTP client. It answers MSAL's OpenID
// configuration request itself, so that a token costs exactly one request over the
// network.
type msalHTTP struct{ cloud cloud.Cloud }

var (
	// MSAL is not given the answer: it refuses good ones whose members that nobody
	// needs are not to its liking, and quotes bad ones.
	errKept  = errors.New("the answer is read elsewhere")
	errStray = errors.New("request to an unknown URL") // MSAL asked for something else
)

// CloseIdleConnections does nothing: MSAL calls it when one request fails, and
// the connections are everybody's.
func (msalHTTP) CloseIdleConnections() {}

// Do sends MSAL's requests.
func (h msalHTTP) Do(req *http.Request) (*http.Response, error) {
	authority, endpoint := h.cloud.Authority()+"/"+anyTenant, h.cloud.TokenEndpoint(anyTenant)
	switch req.Method + " " + strings.TrimSuffix(req.URL.String(), "?") {
	case "GET " + authority + "/v2.0/.well-known/openid-configuration":
		// The part that MSAL reads. Everything in it follows from the authority.
		b, _ := json.Marshal(map[string]string{
			"issuer":                 authority + "/v2.0",
			"authorization_endpoint": authority + "/oauth2/v2.0/authorize",
			"token_endpoint":         endpoint,
		})
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)), Request: req,
		}, nil
	case "POST " + endpoint:
		req.Context().Value(msalRequestKey{}).(*msalRequest).send(req)
		return nil, errKept
	}
	return nil, errStray
}
