// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"net/http"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/apponly/apponly/cloud"
)

// entraSource gets tokens from Entra with a credential.
type entraSource struct {
	cloud      cloud.Cloud
	clientID   string
	credential Credential   // for its stamp
	members    []Credential // those of a FirstOf, or the credential alone
	cp1        bool
	http       *http.Client
}

func (s *entraSource) stamp() string { return s.credential.stamp() }

// exchange makes one token request. MSAL writes it; everything below and above
// MSAL is ours.
//
// A new MSAL client for each request costs microseconds and keeps nothing of
// MSAL's alive: no token cache of its own that never shrinks, no credential
// fixed at construction, no discovery shared under somebody else's context.
func (s *entraSource) exchange(ctx context.Context, req fetchRequest, p proof) (grant, error) {
	w := newWire(s, req)
	var cred confidential.Credential
	var err error
	if p.assertion {
		cred = confidential.NewCredFromAssertionCallback(
			func(context.Context, confidential.AssertionRequestOptions) (string, error) { return p.value(), nil })
	} else if cred, err = confidential.NewCredFromSecret(p.value()); err != nil {
		return grant{}, unavailable(faultf(ErrCredentialUnavailable, "client secret is empty"))
	}
	opts := []confidential.Option{
		confidential.WithHTTPClient(w),
		confidential.WithInstanceDiscovery(false),
		// MSAL reads MSAL_FORCE_REGION from the environment and would send the
		// credential to a regional host, or ask IMDS which one.
		confidential.WithAzureRegion("DisableMsalForceRegion"),
	}
	if s.cp1 {
		opts = append(opts, confidential.WithClientCapabilities([]string{"cp1"}))
	}
	client, err := confidential.New(s.cloud.Authority()+"/"+req.tenantID, s.clientID, cred, opts...)
	if err != nil {
		return grant{}, &Error{Kind: ErrRequestMalformed, reason: "the request could not be built"}
	}
	var acquire []confidential.AcquireByCredentialOption
	if req.claims != "" {
		acquire = append(acquire, confidential.WithClaims(req.claims))
	}
	result, err := client.AcquireTokenByCredential(ctx, []string{req.scope}, acquire...)
	if w.parsed.lifetime > 0 || isEntraError(w.body) { // not the clock of a proxy
		if date, err := http.ParseTime(w.header.Get("Date")); err == nil {
			if skew, notable := req.keeper.measure(date, time.Unix(0, w.started.wall)); notable {
				req.change(Event{Kind: EventClockSkew, Skew: skew})
			}
		}
	}
	if err != nil {
		// Never wrapped: MSAL's errors hold the request, and with it the secret,
		// or quote the whole answer, and with it the token.
		return grant{}, w.failure(ctx, p)
	}
	g := w.grant(result.AccessToken)
	g.credentialExpires = p.expires
	return g, nil
}
