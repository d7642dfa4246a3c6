// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/cloud"
)

// A Client gets app-only access tokens for one app in one tenant. It is safe
// for concurrent use by any number of goroutines, holds no connection and no
// goroutine of its own, and needs no Close.
//
// Tokens live in a [Cache] that clients of equal identity share, so a Client
// may as well be built once per process as once per job.
type Client struct {
	cfg *config
	// first is the entry of the first scope asked for. Most clients use one,
	// and a hit then needs no table.
	first  atomic.Pointer[entry]
	tenant string
}

// config is what all views of a client share. It does not change after New,
// apart from the atomics and what views guards.
type config struct {
	key     spaceKey
	space   atomic.Pointer[space] // the key interned; a hint, see Cache.look
	cache   *Cache
	source  source
	root    *Client
	allowed []string // tenants besides the client's own; "*" for any

	// withoutCAE returns the root of the same client without cp1; nil if this
	// one declares none.
	withoutCAE func() *Client

	clientID      string
	flightTimeout time.Duration
	logger        *slog.Logger                 // nil: none
	onEvent       func(context.Context, Event) // nil: none
	observers     *gate                        // of logger and onEvent
	looks         gate                         // of looks at the credential's files

	// viewsMu guards writes to views.
	viewsMu sync.Mutex
	views   table[string, Client, *Client]
}

// Options are the settings of a [Client] that have a default. nil is fine, and
// so is any zero field.
type Options struct {
	// Cloud is the Entra cloud, [cloud.Public] by default. For [FromEnv]
	// cloud.Public is no setting that wins over AZURE_AUTHORITY_HOST: it is the
	// zero value, which says nothing.
	Cloud cloud.Cloud

	// AllowedTenants are the tenants, by GUID or domain name, that
	// [Client.Tenant] and tokens for Azure SDK clients may name besides the
	// client's own; "*" allows any. None by default: a tenant taken from a
	// request must not decide by itself where this app proves who it is.
	AllowedTenants []string

	// Cache keeps the tokens, [DefaultCache] by default.
	Cache *Cache

	// HTTPClient carries token requests. By default the process has one with
	// the proxy of the environment, TLS 1.2 or later and HTTP/2 with pings.
	// Redirects are never followed, whatever its policy says. Its requests have
	// the values of the context of who caused them, such as a span, and none of
	// its httptrace hooks. It is part of a token's cache key: keep one, do not
	// build one per Client.
	HTTPClient *http.Client

	// CAE declares the client capability "cp1" for every token of this client:
	// Entra may then revoke a token early and the API answer with a claims
	// challenge, in return for tokens that last about a day. [Transport] and Azure
	// SDK clients with [Client.TokenCredential] answer challenges; who calls
	// [Client.Token] must hand them to [Client.TokenFor]. See
	// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
	CAE bool

	// Logger gets one record per token request, by default none: Debug if it
	// brought a token, Warn if not.
	Logger *slog.Logger

	// OnEvent is told of every token request when it has ended. Its context has
	// the values of the context that caused the request, such as a span, and ends
	// after about a second, for which callers wait at most. It may be called from
	// several goroutines at once. One that panics is ignored, and one that does not
	// return is not called again before it has. A token request tells the client
	// that began it, not others that share the token.
	OnEvent func(context.Context, Event)
}

func (o *Options) orDefault() *Options {
	if o == nil {
		return &Options{}
	}
	return o
}

func (o *Options) cache() *Cache {
	if o.Cache == nil {
		return DefaultCache()
	}
	return o.Cache
}

// Time limits of one trip to the network, retries included.
const (
	entraFlightTimeout = 30 * time.Second
	// Managed identity endpoints are asked for patience: IMDS answers 410 for
	// up to 70 s while it is being updated.
	azureFlightTimeout = 2 * time.Minute
)

// New returns a client for the app clientID, a GUID, in tenantID, a GUID or
// domain name, that proves who it is with cred. opts may be nil.
//
// It performs no I/O. Everything that can be found wrong without I/O is
// reported at once, joined: errors.Is(err, [ErrTenantNotFound]) and the like
// tell which.
func New(tenantID, clientID string, cred Credential, opts *Options) (*Client, error) {
	o := opts.orDefault()
	tenant, tenantErr := checkTenant(tenantID)
	app, appErr := checkClientID(clientID)
	allowed, allowedErr := checkAllowed(o.AllowedTenants)
	var credErr error
	if cred == nil {
		credErr = faultf(ErrCredentialMissing, "apponly: credential is nil")
	} else {
		credErr = cred.check()
	}
	cloudErr := o.Cloud.Validate()
	if cloudErr != nil {
		cloudErr = faultf(ErrAuthorityInvalid, "apponly: Options.Cloud: %w", cloudErr)
	}
	if err := errors.Join(tenantErr, appErr, credErr, cloudErr, allowedErr); err != nil {
		return nil, err
	}
	settings := *o // whoever made them may go on to change them
	observers := new(gate)
	build := func(cp1 bool) *Client {
		cfg := &config{
			key:           spaceKey{cloud: settings.Cloud, clientID: app, credential: cred.identity(), cp1: cp1, http: settings.HTTPClient},
			cache:         settings.cache(),
			allowed:       allowed,
			clientID:      app,
			flightTimeout: entraFlightTimeout,
			logger:        settings.Logger,
			onEvent:       settings.OnEvent,
			observers:     observers,
		}
		cfg.source = &entraSource{cloud: settings.Cloud, clientID: app, credential: cred, members: membersOf(cred), cp1: cp1, http: settings.HTTPClient}
		cfg.root = &Client{cfg: cfg, tenant: tenant}
		return cfg.root
	}
	c := build(settings.CAE)
	if settings.CAE {
		c.cfg.withoutCAE = sync.OnceValue(func() *Client { return build(false) })
	}
	return c, nil
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
	if e := c.first.Load(); e != nil && e.scope == scope {
		if t := e.hit(c.cfg.cache); t != nil {
			return Token{t}, nil
		}
	} else if e := c.cfg.cache.find(c.cfg.space.Load(), c.tenant, scope); e != nil {
		if t := e.hit(c.cfg.cache); t != nil {
			return Token{t}, nil
		}
	}
	return c.cfg.cache.get(ctx, c, scope, "")
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
	// Force asks Entra even if a token is fresh or a refusal is remembered, for
	// after a role was granted or an administrator consented.
	Force bool
}

// TokenFor is [Client.Token] for a request that may ask past the cache. Callers
// with the same need share one request, and such requests are at least 10
// seconds apart for each scope, more while what they bring is rejected in turn.
// In between the cached token is the answer, or the remembered error.
//
// The cached token stays where it is if nothing better can be had.
func (c *Client) TokenFor(ctx context.Context, req TokenRequest) (Token, error) {
	if req.Claims == "" && req.Rejected.IsZero() && !req.Force {
		return c.Token(ctx, req.Scope)
	}
	if req.Claims != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(req.Claims), &object) != nil || object == nil {
			return Token{}, &Error{
				Kind: ErrRequestMalformed, TenantID: c.tenant, ClientID: c.cfg.clientID, Scope: req.Scope,
				reason: "claims must be a JSON object, decoded from base64",
			}
		}
	}
	return c.cfg.cache.getPast(ctx, c, req)
}

// Tenant returns the view of the client for another tenant: the same app,
// credential and cache. The same ID gives the same view, without a lock or an
// allocation, so there is no need to keep it. Views are forgotten as the cache
// forgets tokens, which costs nothing but making them again.
//
// The tenant must be the client's own or allowed by [Options.AllowedTenants],
// else the error is [ErrTenantNotAllowed].
func (c *Client) Tenant(tenantID string) (*Client, error) {
	cfg := c.cfg
	if tenantID == cfg.root.tenant {
		return cfg.root, nil
	}
	if v := cfg.views.get(maphashString(tenantID), tenantID); v != nil {
		return v, nil
	}
	if _, ok := cfg.source.(*azureSource); ok {
		return nil, faultf(ErrTenantNotAllowed, "apponly: a client from a TokenCredential has no tenant to change: managed identity ignores it")
	}
	tenant, err := checkTenant(tenantID)
	if err != nil {
		return nil, err
	}
	if tenant == cfg.root.tenant {
		return cfg.root, nil
	}
	if !slices.Contains(cfg.allowed, tenant) && !slices.Contains(cfg.allowed, "*") {
		return nil, faultf(ErrTenantNotAllowed, "apponly: tenant %s is not among Options.AllowedTenants", tenant)
	}
	return cfg.view(strings.Clone(tenant)), nil
}

func (cfg *config) view(tenant string) *Client {
	cfg.viewsMu.Lock()
	defer cfg.viewsMu.Unlock()
	hash := maphashString(tenant)
	if v := cfg.views.get(hash, tenant); v != nil {
		return v
	}
	if cfg.views.live >= cfg.cache.limit() {
		old, _ := cfg.views.random()
		cfg.views.remove(maphashString(old.tenant), old)
	}
	v := &Client{cfg: cfg, tenant: tenant}
	cfg.views.put(hash, v)
	return v
}

func (c *Client) matches(tenant string) bool { return c.tenant == tenant }

// TenantID returns the tenant of this view, lower-cased; "" for a client from
// [FromTokenCredential].
func (c *Client) TenantID() string { return c.tenant }

// ClientID returns the app's client ID, lower-cased; "" for a client from
// [FromTokenCredential].
func (c *Client) ClientID() string { return c.cfg.clientID }

// failure makes the error of a flight one that can be shared: an *Error that
// says who asked for what.
func (c *Client) failure(err error, scope string) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = unreachable(err)
	}
	e.TenantID, e.ClientID, e.Scope = c.tenant, c.cfg.clientID, scope
	return e
}
