// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// FromTokenCredential returns a client that gets its tokens from an Azure SDK
// credential, such as a managed identity, and puts this package's cache in
// front of it. It performs no I/O. opts may be nil.
//
// The credential knows its own tenant, cloud, HTTP client and capabilities: to
// set Cloud, AllowedTenants, HTTPClient or CAE is an error, [Client.Tenant]
// fails, and [Client.TenantID] and [Client.ClientID] return "". The credential
// must be comparable, a pointer for example: clients built from the same one
// share their tokens. It may take two minutes for a token.
func FromTokenCredential(cred azcore.TokenCredential, opts *Options) (*Client, error) {
	o := opts.orDefault()
	var errs []error
	switch v := reflect.ValueOf(cred); {
	case cred == nil, v.Kind() == reflect.Pointer && v.IsNil():
		errs = append(errs, faultf(ErrCredentialMissing, "apponly: TokenCredential is nil"))
	case !v.Comparable():
		errs = append(errs, faultf(ErrCredentialMissing, "apponly: a TokenCredential of type %T is not comparable: pass a pointer", cred))
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"Cloud", !reflect.ValueOf(o.Cloud).IsZero()},
		{"AllowedTenants", len(o.AllowedTenants) > 0},
		{"HTTPClient", o.HTTPClient != nil},
		{"CAE", o.CAE},
	} {
		if f.set {
			errs = append(errs, faultf(ErrConfiguration, "apponly: Options.%s does not reach a TokenCredential: set it where that is made", f.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg := &config{
		key:           spaceKey{credential: azureID{cred}},
		cache:         o.cache(),
		source:        &azureSource{cred: cred},
		flightTimeout: azureFlightTimeout,
		logger:        o.Logger,
		onEvent:       o.OnEvent,
		observers:     new(gate),
	}
	cfg.root = &Client{cfg: cfg}
	return cfg.root, nil
}

// azureID keeps the identity of a TokenCredential apart from that of a
// Credential.
type azureID struct{ cred azcore.TokenCredential }

type azureSource struct {
	cred azcore.TokenCredential
	gate gate
}

func (s *azureSource) stamp() string { return "" }

func (s *azureSource) fetch(ctx context.Context, req fetchRequest) (grant, error) {
	asked := now()
	t, err := guard(ctx, &s.gate, "the TokenCredential", func(ctx context.Context) (azcore.AccessToken, error) {
		return s.cred.GetToken(ctx, policy.TokenRequestOptions{
			Scopes: []string{req.scope}, Claims: req.claims, EnableCAE: req.claims != "",
		})
	})
	if err != nil {
		return grant{}, azureFailure(err)
	}
	began := time.Unix(0, asked.wall)
	left := t.ExpiresOn.Sub(began)
	if !isTokenText(t.Token) || left <= 0 {
		return grant{}, &Error{Kind: ErrCredentialUnavailable, reason: "the TokenCredential returned no token that is still good"}
	}
	bearer := bearerPrefix + t.Token
	g := grant{bearer: func() string { return bearer }, received: asked, lifetime: min(left, maxLifetime)}
	if !t.RefreshOn.IsZero() {
		g.refreshIn = t.RefreshOn.Sub(began)
	}
	return g, nil
}

// azureFailure makes an Error of what azidentity returned. azidentity's own
// error is never wrapped: it holds the request, and with it the secret.
func azureFailure(err error) *Error {
	var guarded *guardError
	if errors.As(err, &guarded) {
		return unavailable(guarded)
	}
	var resp *http.Response
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		resp = failed.RawResponse
	} else if failed, ok := errors.AsType[*azcore.ResponseError](err); ok {
		resp = failed.RawResponse
	}
	if resp != nil {
		var body []byte
		if resp.Body != nil {
			// azcore has read it and left a copy that can be read again.
			body, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		}
		return classify(resp.StatusCode, resp.Header, body, ErrOther)
	}
	e := unreachable(err)
	if e.cause == nil { // nothing of the network: the credential cannot work here
		e = &Error{Kind: ErrCredentialUnavailable, reason: "the TokenCredential failed (" + reflect.TypeOf(err).String() + ")"}
	}
	return e
}

// TokenCredential returns c as a credential for any Azure SDK client. It serves
// tokens from c's cache; refresh and retry are the cache's. It takes one scope
// per call, a tenant within [Options.AllowedTenants] (which a client from
// [FromTokenCredential] ignores), and claims challenges.
//
// The client capability "cp1" is declared for a call if [Options.CAE] is set and
// the SDK client says EnableCAE, which is its word that it answers challenges.
// One that does not gets tokens of the usual lifetime, cached apart, which
// [Client.Status] and [Client.KeepWarm] know nothing of.
func (c *Client) TokenCredential() azcore.TokenCredential { return tokenCredential{c} }

type tokenCredential struct{ c *Client }

func (t tokenCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 {
		return azcore.AccessToken{}, faultf(ErrScopeInvalid, "apponly: want exactly one scope, got %q", strings.Join(o.Scopes, " "))
	}
	c := t.c
	if plain := c.cfg.withoutCAE; plain != nil && !o.EnableCAE {
		var err error
		if c, err = plain().Tenant(c.tenant); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	_, azure := c.cfg.source.(*azureSource) // knows its own tenant; Key Vault clients name one each time
	if o.TenantID != "" && !azure {
		var err error
		if c, err = c.Tenant(o.TenantID); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	tok, err := c.TokenFor(ctx, TokenRequest{Scope: o.Scopes[0], Claims: o.Claims})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: tok.Value(), ExpiresOn: tok.ExpiresOn(), RefreshOn: tok.RefreshOn()}, nil
}
