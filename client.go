// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/tokencache"
)

// A Client gets app-only access tokens for one app in one tenant. It is safe
// for concurrent use by any number of goroutines, holds no connection and no
// goroutine of its own, and needs no Close.
//
// Tokens live in a [Cache] that clients of equal identity share, so a Client
// may as well be built once per process as once per job.
type Client struct {
	shared *shared
	tokens tokencache.View
}

// shared is what all views of a client have in common. It is also their
// tokencache.Source: see source.go.
type shared struct {
	source
	identity tokencache.Identity
	cache    *Cache
	clientID string
	observers

	root    *Client
	allowed []string // tenants besides the client's own; "*" for any
	// tenantIDs knows those of domain names; nil where there is no tenant.
	tenantIDs *tenantIDs
	// ownID is the ID of the client's own tenant, if that is a domain name and the ID
	// has been learned; else nil.
	ownID atomic.Pointer[string]
	// withoutCAE returns the root of the same client without cp1; nil if this
	// one declares none.
	withoutCAE func() *Client

	viewsMu sync.Mutex // guards writes to views
	views   tokencache.Table[string, view, *view]
}

// A view is a Client that is found by its tenant.
type view Client

func (v *view) Matches(tenant string) bool { return v.tokens.Tenant == tenant }

// New returns a client for the app clientID, a GUID, in tenantID, a GUID or
// domain name, that proves who it is with cred. opts may be nil.
//
// It reads no environment variables, AZURE_AUTHORITY_HOST neither, which azidentity's
// constructors do: see [cloud.FromEnv] and [FromEnv]. Those of
// [Options.IdentityBinding] are the exception.
//
// It performs no I/O. Everything that can be found wrong without I/O is
// reported at once, joined: errors.Is(err, [ErrTenantNotFound]) and the like
// tell which.
func New(tenantID, clientID string, cred Credential, opts *Options) (*Client, error) {
	o := opts.orDefault()
	tenant, tenantErr := checkTenant(tenantID)
	app, appErr := checkClientID(clientID)
	allowed, allowedErr := o.allowedTenants()
	members, credErr := membersOf(cred)
	sender, httpErr := o.sender(members)
	cloudErr := o.Cloud.Validate()
	if cloudErr != nil {
		cloudErr = errorf(ErrAuthorityInvalid, "apponly: Options.Cloud: %w", cloudErr)
	}
	if err := errors.Join(tenantErr, appErr, credErr, cloudErr, allowedErr, httpErr, o.checkHTTPClient(), o.cache().fault); err != nil {
		return nil, err
	}
	settings := *o // the caller may go on to change them
	observers := settings.observers()
	build := func(cp1 bool) *Client {
		source := &entraSource{cloud: settings.Cloud, clientID: app, credentials: members, cp1: cp1, sender: sender, userHTTP: settings.HTTPClient, observers: observers}
		cache := settings.cache()
		return newClient(&shared{
			source: source,
			identity: tokencache.Identity{
				Cache:    &cache.tokens,
				Sharer:   cache.sharer(source),
				Key:      identityKey{cloud: settings.Cloud, clientID: app, credential: identityOf(members), cp1: cp1, http: sender.http},
				Timeout:  entraTimeout,
				NewState: func() any { return newCredentialState(len(members)) },
			},
			cache:     cache,
			clientID:  app,
			observers: observers,
			allowed:   allowed,
			tenantIDs: &tenantIDs{&cache.domains, source},
		}, tenant)
	}
	c := build(settings.CAE)
	if settings.CAE {
		c.shared.withoutCAE = sync.OnceValue(func() *Client { return build(false) })
	}
	return c, nil
}

// newClient returns the root of a client, in its own tenant.
func newClient(s *shared, tenant string) *Client {
	s.identity.Source = s
	s.root = &Client{shared: s, tokens: tokencache.View{Identity: &s.identity, Tenant: tenant}}
	return s.root
}

// Token returns an access token for scope, "<resource>/.default".
//
// A token in the cache is returned at once, without lock, allocation or I/O,
// even if a refresh runs behind it or fails. Otherwise Token waits for the one
// request that is under way for this key, or for ctx, whichever ends first.
//
// The error is an [*Error] if there is no token to be had, and errors.Is both
// ctx.Err() and context.Cause(ctx) if ctx ended first.
func (c *Client) Token(ctx context.Context, scope string) (Token, error) {
	if err := c.check(); err != nil {
		return Token{}, err
	}
	if t := c.tokens.Hit(scope); t != nil {
		return Token{t}, nil
	}
	return c.get(ctx, tokencache.Ask{Scope: scope})
}

// check refuses a client that New has not made, such as the one that comes with an
// error, before it is dereferenced.
func (c *Client) check() error {
	if c == nil || c.shared == nil {
		return errorf(ErrConfiguration, "apponly: the Client is nil or was not made by New")
	}
	return nil
}

var errNilContext = errorf(ErrConfiguration, "apponly: the context is nil")

// get asks the cache for what was no hit.
func (c *Client) get(ctx context.Context, a tokencache.Ask) (Token, error) {
	if ctx == nil {
		return Token{}, errNilContext
	}
	if err := c.checkScope(a.Scope); err != nil {
		return Token{}, err
	}
	ctx = flight.Safe(ctx) // a context that panics must not end the process; see Warm
	t, err := c.tokens.Get(ctx, a)
	if err == tokencache.ErrWaiting {
		err = &contextError{scope: a.Scope, err: ctx.Err(), cause: context.Cause(ctx)}
	}
	return Token{t}, err
}

// checkScope refuses a malformed scope before Entra is asked.
func (c *Client) checkScope(scope string) error {
	if err := checkScope(scope); err != nil {
		return &Error{Kind: ErrScopeInvalid, TenantID: c.tokens.Tenant, ClientID: c.shared.clientID, Scope: scope, reason: err.Error(), cause: err}
	}
	return nil
}

// A TokenRequest asks for a token that the cached one may not be. The zero
// value of every field but Scope asks for nothing special.
type TokenRequest struct {
	// Scope is "<resource>/.default".
	Scope string
	// Claims is the decoded JSON of a claims challenge. Without Rejected it
	// means that the token in the cache was refused, unless that one was
	// obtained with the same claims.
	Claims string
	// Rejected is the token that the resource refused. If the cached one is
	// another by now, that is the answer.
	Rejected Token
	// MinValid is how long the token should be good for, for what is done with it
	// once and outlives it: a database session, a Kafka connection. A cached one
	// with less left is replaced; 0 asks for any that is usable. It is a wish: the
	// token may have less left if Entra issues none that lasts so long or cannot be
	// asked. See [Token.ExpiresOn].
	MinValid time.Duration
	// Force asks Entra even if a token is fresh or a refusal is remembered, for
	// after a role was granted or an administrator consented.
	Force bool
}

// TokenFor is [Client.Token] for a request that may bypass the cache. Callers
// with the same need share one request, and such requests are at least 10
// seconds apart for each scope, counted from the end of one to the next, and up to
// 5 minutes while they fail or what they bring is rejected in turn or too short.
// Claims are paced by themselves: those that were not asked for lately need not
// wait for others'. In between the cached token is the answer, or the remembered
// error.
//
// The cached token stays where it is if nothing better can be had. For MinValid
// alone it is the answer then, also when ctx ends first.
func (c *Client) TokenFor(ctx context.Context, req TokenRequest) (Token, error) {
	if err := c.check(); err != nil {
		return Token{}, err
	}
	if req.Claims == "" && req.Rejected.IsZero() && !req.Force {
		if t := c.tokens.Hit(req.Scope); t != nil && t.Lasts(clock.Now(), req.MinValid) {
			return Token{t}, nil
		}
	}
	if req.Claims != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(req.Claims), &object) != nil || object == nil {
			return Token{}, &Error{
				Kind: ErrRequestMalformed, TenantID: c.tokens.Tenant, ClientID: c.shared.clientID, Scope: req.Scope,
				reason: "claims must be a JSON object, decoded from base64",
			}
		}
	}
	return c.get(ctx, tokencache.Ask{Scope: req.Scope, Claims: req.Claims, Rejected: req.Rejected.p, MinValid: req.MinValid, Force: req.Force})
}

// Tenant returns the view of the client for another tenant: the same app,
// credential and cache. The same ID gives the same view, without a lock or an
// allocation, so there is no need to keep it. Views are forgotten as the cache
// forgets tokens, which costs nothing but making them again.
//
// The tenant must be the client's own or allowed by [Options.AllowedTenants],
// else the error is [ErrTenantNotAllowed].
func (c *Client) Tenant(tenantID string) (*Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := c.shared
	if s.isOwn(tenantID) {
		return s.root, nil
	}
	if v := s.views.Get(tokencache.Hash(tenantID), tenantID); v != nil {
		return (*Client)(v), nil
	}
	if s.root.tokens.Tenant == "" {
		return nil, errorf(ErrTenantNotAllowed, "apponly: a client from a TokenCredential has no tenant to change: managed identity ignores it")
	}
	tenant, err := checkTenant(tenantID)
	if err != nil {
		return nil, err
	}
	if s.isOwn(tenant) {
		return s.root, nil
	}
	if !slices.Contains(s.allowed, tenant) && !slices.Contains(s.allowed, "*") {
		return nil, errorf(ErrTenantNotAllowed, "apponly: tenant %s is not among Options.AllowedTenants", tenant)
	}
	return s.view(strings.Clone(tenant)), nil
}

// isOwn reports whether a tenant is the client's own, by its name or its ID.
func (s *shared) isOwn(tenant string) bool {
	id := s.ownID.Load()
	return tenant == s.root.tokens.Tenant || id != nil && tenant == *id
}

// view returns the view for a tenant, made if need be.
func (s *shared) view(tenant string) *Client {
	s.viewsMu.Lock()
	defer s.viewsMu.Unlock()
	hash := tokencache.Hash(tenant)
	if v := s.views.Get(hash, tenant); v != nil {
		return (*Client)(v)
	}
	if s.views.Len() >= s.identity.Cache.Limit() {
		old, _ := s.views.Random()
		s.views.Remove(tokencache.Hash(old.tokens.Tenant), old)
	}
	v := &view{shared: s, tokens: tokencache.View{Identity: &s.identity, Tenant: tenant}}
	s.views.Put(hash, v)
	return (*Client)(v)
}

// TenantID returns the tenant of this view, lower-cased; "" for a client from
// [FromTokenCredential].
func (c *Client) TenantID() string {
	if c == nil {
		return ""
	}
	return c.tokens.Tenant
}

// Cache returns the cache that holds the client's tokens, for [Cache.Stats].
func (c *Client) Cache() *Cache {
	if c.check() != nil {
		return nil
	}
	return c.shared.cache
}

// ClientID returns the app's client ID, lower-cased; "" for a client from
// [FromTokenCredential].
func (c *Client) ClientID() string {
	if c.check() != nil {
		return ""
	}
	return c.shared.clientID
}
