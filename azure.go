// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/tokencache"
	"github.com/apponly/apponly/internal/wire"
)

// FromTokenCredential returns a client that gets its tokens from an Azure SDK
// credential, such as a managed identity, and puts this package's cache in
// front of it. It performs no I/O. opts may be nil.
//
// The credential knows its own tenant, cloud, HTTP client and capabilities: to
// set Cloud, AllowedTenants, HTTPClient, CAFile, IdentityBinding or CAE is an error, [Client.Tenant]
// fails, and [Client.TenantID] and [Client.ClientID] return "". The credential
// must be comparable, a pointer for example: clients built from the same one
// share their tokens. It may take two minutes for a token.
//
// Of the credential's errors nothing is kept but what is known to hold no request. An
// endpoint of managed identities that does not answer, or answers that it cannot, is
// [ErrUnreachable]; [ErrCredentialUnavailable] means that it was asked and refused, or
// that the credential cannot work here.
func FromTokenCredential(cred azcore.TokenCredential, opts *Options) (*Client, error) {
	o := opts.orDefault()
	var errs []error
	switch {
	case cred == nil, holdsNil(cred):
		errs = append(errs, errorf(ErrCredentialMissing, "apponly: TokenCredential is nil"))
	case !reflect.ValueOf(cred).Comparable():
		errs = append(errs, errorf(ErrCredentialMissing, "apponly: a TokenCredential of type %T is not comparable: pass a pointer", cred))
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"Cloud", !reflect.ValueOf(o.Cloud).IsZero()},
		{"AllowedTenants", len(o.AllowedTenants) > 0},
		{"HTTPClient", o.HTTPClient != nil},
		{"CAFile", o.CAFile != ""},
		{"IdentityBinding", o.IdentityBinding},
		{"CAE", o.CAE},
	} {
		if f.set {
			errs = append(errs, errorf(ErrConfiguration, "apponly: Options.%s does not reach a TokenCredential: set it where that is made", f.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	_, managed := cred.(*azidentity.ManagedIdentityCredential)
	return newClient(&shared{
		source: &azureSource{cred: cred, managed: managed},
		identity: tokencache.Identity{
			Cache: &o.cache().tokens, Key: identityKey{credential: azureID{cred}}, Timeout: azureTimeout,
			NewState: func() any { return nil },
		},
		cache:     o.cache(),
		observers: o.observers(),
	}, ""), nil
}

// azureTimeout bounds one flight. Managed identity endpoints are asked for
// patience: IMDS answers 410 for up to 70 s while it is being updated.
const azureTimeout = 2 * time.Minute

// azureID keeps the identity of a TokenCredential apart from that of a
// Credential.
type azureID struct{ cred azcore.TokenCredential }

type azureSource struct {
	cred    azcore.TokenCredential
	managed bool // it is a managed identity
	hung    flight.Guard
}

// Stamp returns "": there are no files.
func (s *azureSource) Stamp() string { return "" }

// Fetch asks the TokenCredential.
func (s *azureSource) Fetch(ctx context.Context, req tokencache.Request) (g tokencache.Grant, note any, err error) {
	asked := clock.Now()
	t, err := flight.Run(ctx, &s.hung, "the TokenCredential", func(ctx context.Context) (azcore.AccessToken, error) {
		return s.cred.GetToken(ctx, policy.TokenRequestOptions{
			Scopes: []string{req.Scope}, Claims: req.Claims, EnableCAE: req.Claims != "",
		})
	})
	if err != nil {
		return g, nil, azureFailure(err, s.managed)
	}
	left := t.ExpiresOn.Sub(asked.Time())
	if !isTokenText(t.Token) || left <= 0 {
		return g, nil, &Error{Kind: ErrCredentialUnavailable, reason: "the TokenCredential returned no token that is still good"}
	}
	var refreshIn time.Duration
	if !t.RefreshOn.IsZero() {
		refreshIn = t.RefreshOn.Sub(asked.Time())
	}
	return newGrant(t.Token, asked, min(left, maxLifetime), refreshIn), nil, nil
}

// TokenCredential returns c as a credential for any Azure SDK client. It serves
// tokens from c's cache; refresh and retry are the cache's. It takes one scope
// per call, a tenant within [Options.AllowedTenants] (which a client from
// [FromTokenCredential] ignores), and claims challenges.
//
// Key Vault and other clients name the tenant by its ID. Where this client knows its
// tenants by domain names, the IDs of those are looked up when the first such call
// comes: in the OpenID configuration of the authority, by [Options.HTTPClient].
//
// The client capability "cp1" is declared for a call if [Options.CAE] is set and
// the SDK client says EnableCAE, which is its word that it answers challenges.
// One that does not gets tokens of the usual lifetime, cached apart, which
// [Client.Status] and [Client.KeepWarm] know nothing of.
func (c *Client) TokenCredential() azcore.TokenCredential { return tokenCredential{c} }

type tokenCredential struct{ c *Client }

func (t tokenCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 {
		return azcore.AccessToken{}, errorf(ErrScopeInvalid, "apponly: want exactly one scope, got %q", strings.Join(o.Scopes, " "))
	}
	c := t.c
	if err := c.check(); err != nil {
		return azcore.AccessToken{}, err
	}
	if ctx == nil {
		return azcore.AccessToken{}, errNilContext
	}
	if plain := c.shared.withoutCAE; plain != nil && !o.EnableCAE {
		var err error
		if c, err = plain().Tenant(c.tokens.Tenant); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	// A client from a TokenCredential has no tenant of its own to change; Key Vault
	// clients name one each time.
	if o.TenantID != "" && c.tokens.Tenant != "" {
		var err error
		if c, err = c.named(ctx, o.TenantID); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	tok, err := c.TokenFor(ctx, TokenRequest{Scope: o.Scopes[0], Claims: o.Claims})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: tok.Value(), ExpiresOn: tok.ExpiresOn(), RefreshOn: tok.RefreshOn()}, nil
}

// identities keeps one credential per managed identity and HTTP client, because clients
// built from the same one share their tokens.
var identities struct {
	sync.Mutex
	m map[managedKey]azcore.TokenCredential
}

type managedKey struct {
	clientID string
	http     *http.Client
}

// maxIdentities is far more than a program has: what is beyond them made HTTP clients
// as it went along.
const maxIdentities = 100

// managedIdentity returns the credential of a managed identity, "" for the
// system-assigned one, whose endpoint is asked by client.
func managedIdentity(clientID string, client *http.Client) (azcore.TokenCredential, error) {
	identities.Lock()
	defer identities.Unlock()
	key := managedKey{clientID, client}
	if cred, ok := identities.m[key]; ok {
		return cred, nil
	}
	var o azidentity.ManagedIdentityCredentialOptions
	if clientID != "" {
		o.ID = azidentity.ClientID(clientID)
	}
	if os.Getenv("IDENTITY_SERVER_THUMBPRINT") == "" { // Service Fabric brings its own
		o.Transport = wire.WithoutProxy(client)
	}
	cred, err := azidentity.NewManagedIdentityCredential(&o)
	if err != nil {
		return nil, errorf(ErrCredentialUnavailable, "apponly: managed identity cannot be used with this configuration")
	}
	if identities.m == nil || len(identities.m) == maxIdentities {
		identities.m = map[managedKey]azcore.TokenCredential{}
	}
	identities.m[key] = cred
	return cred, nil
}
