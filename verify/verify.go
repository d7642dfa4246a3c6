// SPDX-License-Identifier: MIT

package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/ident"
)

// Options are what a [Verifier] can do without. nil and the zero value are fine.
type Options struct {
	// Cloud is the API's; the zero value is the public one.
	Cloud cloud.Cloud
	// AppIDURIs are audiences of v1.0 tokens besides the client ID: the API's App ID
	// URIs. nil: "api://" and the client ID. A slash at the end makes no difference.
	AppIDURIs []string
	// RefuseV1 refuses v1.0 tokens, which an API gets whose registration does not say
	// otherwise (requestedAccessTokenVersion in its manifest).
	RefuseV1 bool
	// CustomSigningKeys takes the keys of the API's own registration, which it has if
	// its claims are mapped. All rules must have a Tenant.
	CustomSigningKeys bool
	// RequireIDType refuses tokens without idtyp, an optional claim of the API's
	// registration. Microsoft asks for it where apps are let in by their client IDs.
	RequireIDType bool
	// RefuseClientSecrets lets in apps that proved themselves with a certificate, a
	// federated credential or a managed identity.
	RefuseClientSecrets bool
	// Leeway is how far this machine's clock and Entra's may be apart; 0: a minute,
	// negative: none, at most five minutes.
	Leeway time.Duration
	// Remember is how many verified tokens are remembered, so that they are not
	// verified again; 0: 4,096, which take some 13 MB; negative: none. A million is
	// the most.
	Remember int
	// Revoked is asked about every caller whose token is good. Tokens that were issued
	// before since are refused, by whole seconds, as that is how tokens have it; all of
	// them if it is zero. Entra may date a token back by some minutes. It must be safe
	// for concurrent use, and callers wait for it.
	Revoked func(ctx context.Context, c *Caller) (since time.Time, revoked bool)
	// HTTPClient fetches the keys; nil: one with the default transport. Redirects are
	// not followed, whatever its policy.
	HTTPClient *http.Client
	// Logger is told of keys that could not be fetched and, by the middleware, of who
	// was refused and why; nil: nobody is.
	Logger *slog.Logger
}

// A Verifier says whether tokens are app-only ones for an API, of callers that its
// rules let in. Make one with [New]. It is safe for concurrent use.
type Verifier struct {
	judge     judge
	tenants   map[string]*party
	others    *party      // nil unless there is a TenantFunc
	documents []*document // sorted by URL
	memory    *memory
	revoked   func(context.Context, *Caller) (time.Time, bool)
	authority string
	log       *slog.Logger
}

// A party is what there is for the tokens of a tenant, or of all tenants that have no
// rule of their own.
type party struct {
	document *document
	rules    []Rule // those with a function last
}

// New returns a verifier for the API with a client ID, of tokens that one of rules
// lets in. opts may be nil. It performs no I/O, and works while Entra is down; the
// keys are fetched when the first token comes, or by [Verifier.Warm]. The error says
// everything that is wrong at once.
func New(clientID string, rules []Rule, opts *Options) (*Verifier, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	id, err := ident.ClientID(clientID)
	add(err)
	add(o.Cloud.Validate())
	checked, err := checkRules(rules, o.CustomSigningKeys)
	add(err)
	uris, err := checkURIs(o.AppIDURIs, id)
	add(err)
	leeway, err := o.leeway()
	add(err)
	if o.Remember > maxRemember {
		add(errors.New("Options.Remember is more than a million"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("verify: %w", errors.Join(errs...))
	}
	v := &Verifier{
		judge: judge{
			clientID: id, uris: uris, v1: issuerOf(o.Cloud, 1), v2: issuerOf(o.Cloud, 2), leeway: int64(leeway / time.Second),
			requireIDType: o.RequireIDType, refuseClientSecrets: o.RefuseClientSecrets, known: interned{},
		},
		tenants: map[string]*party{}, revoked: o.Revoked,
		memory: newMemory(cmp.Or(o.Remember, defaultRemember)), authority: o.Cloud.Authority(), log: o.Logger,
	}
	for _, r := range checked {
		for _, s := range append([]string{r.Tenant, r.Client}, r.Roles...) {
			v.judge.known[s] = s
		}
	}
	if o.RefuseV1 {
		v.judge.v1 = issuerForm{}
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	if !o.RequireIDType && slices.ContainsFunc(checked, func(r Rule) bool { return r.Roles == nil }) {
		v.log.Warn("verify: a rule without Roles goes by the client ID alone: add the optional claim idtyp to this API's access tokens, and set RequireIDType")
	}
	v.openDocuments(checked, o)
	return v, nil
}

// checkRules returns the rules in canonical form, those with a Tenant first: what
// needs to ask nobody is judged first.
func checkRules(rules []Rule, custom bool) ([]Rule, error) {
	if len(rules) == 0 {
		return nil, errors.New("there are no rules: nobody could call")
	}
	var checked, last []Rule
	var errs []error
	for i, r := range rules {
		c, err := r.checked()
		if err == nil && custom && c.TenantFunc != nil {
			err = errors.New("TenantFunc cannot be with Options.CustomSigningKeys, as signing keys of a registration are in the document of one tenant")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i+1, err))
		}
		if c.TenantFunc != nil {
			last = append(last, c)
		} else {
			checked = append(checked, c)
		}
	}
	return append(checked, last...), errors.Join(errs...)
}

// checkURIs returns the App ID URIs without slashes at their ends.
func checkURIs(uris []string, clientID string) ([]string, error) {
	if uris == nil {
		return []string{"api://" + clientID}, nil
	}
	var checked []string
	var errs []error
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" || len(uri) > 1000 {
			errs = append(errs, fmt.Errorf("Options.AppIDURIs: %s is not an App ID URI such as api://…; the client ID is an audience anyway", ident.Quote(uri)))
		}
		checked = append(checked, strings.TrimSuffix(uri, "/"))
	}
	return checked, errors.Join(errs...)
}

const maxLeeway = 5 * time.Minute

func (o *Options) leeway() (time.Duration, error) {
	switch {
	case o.Leeway == 0:
		return time.Minute, nil
	case o.Leeway > maxLeeway:
		return 0, errors.New("Options.Leeway is more than five minutes")
	}
	return max(o.Leeway, 0), nil
}

// openDocuments makes the key documents of each tenant of a rule, and the one for
// tenants that only a function knows. It has no consumers' keys. rules has those with
// a function last.
func (v *Verifier) openDocuments(rules []Rule, o Options) {
	client := http.Client{}
	if o.HTTPClient != nil {
		client = *o.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	places := make(chan struct{}, maxFetches)
	open := func(tenant string) *party {
		d := &document{url: o.Cloud.Authority() + "/" + tenant + "/discovery/v2.0/keys", instance: o.Cloud.InstanceName(), http: &client, log: v.log, places: places}
		if o.CustomSigningKeys {
			d.url += "?appid=" + v.judge.clientID
		}
		v.documents = append(v.documents, d)
		return &party{document: d}
	}
	for _, r := range rules {
		switch {
		case r.TenantFunc == nil:
			if v.tenants[r.Tenant] == nil {
				v.tenants[r.Tenant] = open(r.Tenant)
			}
			p := v.tenants[r.Tenant]
			p.rules = append(p.rules, r)
		case v.others == nil:
			v.others = open("organizations")
			fallthrough
		default:
			v.others.rules = append(v.others.rules, r)
		}
	}
	if v.others != nil {
		for _, p := range v.tenants {
			p.rules = append(p.rules, v.others.rules...)
		}
	}
	slices.SortFunc(v.documents, func(a, b *document) int { return strings.Compare(a.url, b.url) })
}

// Verify says who is calling with an access token, which has no "Bearer " before it,
// and that a rule lets that app in. The error is an [*Error]. It blocks only while
// Entra's keys are fetched, for five seconds at most, and in functions of the rules
// and options.
func (v *Verifier) Verify(ctx context.Context, token string) (*Caller, error) {
	now := clock.Now()
	a, hash := v.memory.find(token)
	if a == nil || !a.trusted(ctx, now) {
		var err *Error
		if a, err = v.authenticate(ctx, token, now); err != nil {
			return nil, v.attributed(err)
		}
		v.memory.add(hash, token, a)
	}
	if err := v.authorize(ctx, a, now.Wall/int64(time.Second)); err != nil {
		return nil, v.attributed(err)
	}
	return &a.caller, nil
}

func (v *Verifier) attributed(err *Error) error {
	err.authority = v.authority
	return err
}

// authenticate verifies a token that is not remembered.
func (v *Verifier) authenticate(ctx context.Context, token string, now clock.Instant) (*authentication, *Error) {
	var t jws
	known := v.memory.header.Load()
	if err := t.parse(token, known); err != nil {
		return nil, err
	}
	c, fault := parseClaims(t.payload, v.judge.known)
	if fault != nil {
		return nil, refuse(ErrMalformed, "payload: "+fault.Error())
	}
	// Nothing in c is believed yet; the tenant says where the key would be.
	p := v.tenants[string(c.tenant)]
	switch {
	case p != nil:
	case !isLowerGUID(string(c.tenant)):
		return nil, refuse(ErrIssuer, "tid is not the ID of a tenant")
	case v.others == nil:
		return nil, refuse(ErrTenant, "")
	default:
		p = v.others
	}
	keys, err := p.document.find(ctx, now, t.kid)
	if err != nil {
		return nil, err
	}
	for _, k := range keys { // one key may be there for several issuers
		if !t.signedBy(k) {
			continue
		}
		if t.joseHeader != known {
			v.memory.header.Store(t.joseHeader)
		}
		var a *authentication
		if a, err = v.judge.authenticate(c, k, now.Wall/int64(time.Second)); err == nil {
			a.party = p
			return a, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, notSigned(keys)
}

func isLowerGUID(s string) bool { return ident.IsGUID(s) && strings.ToLower(s) == s }

// authorize says whether a caller may.
func (v *Verifier) authorize(ctx context.Context, a *authentication, now int64) *Error {
	c := &a.caller
	switch {
	case a.expires+v.judge.leeway <= now:
		return c.refused(ErrExpired)
	case a.notBefore > now+v.judge.leeway: // the clock was set back
		return c.refused(ErrNotYetValid)
	}
	if v.revoked != nil {
		if since, revoked := v.revoked(ctx, c); revoked && (since.IsZero() || c.IssuedAt.Unix() < since.Unix()) {
			e := c.refused(ErrRevoked)
			e.caller, e.since = c, since
			return e
		}
	}
	kind, cause := admit(ctx, a.party.rules, c, a.refusal)
	if kind == "" {
		return nil
	}
	e := c.refused(kind)
	if cause != nil {
		e.reason, e.cause = "TenantFunc failed", cause
	}
	return e
}

// refused makes an error about a caller who is known.
func (c *Caller) refused(kind Kind) *Error {
	return &Error{Kind: kind, TenantID: c.TenantID, ClientID: c.ClientID}
}
