// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/flight"
)

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
	// Redirects are never followed, whatever its policy says. Its requests carry
	// the values of the caller's context, such as a span, but none of its httptrace
	// hooks. It is part of a token's cache key: keep one, do not build one per
	// Client.
	HTTPClient *http.Client

	// CAFile is a file of certificates, in PEM or DER, that token requests trust in
	// place of the system's roots, with an HTTP client that all clients of the same
	// path share. It is read for every token request, so that a rotated bundle counts
	// without a restart; while it cannot be read the roots that were read last stay.
	// If there are none yet the error is [ErrCAFile]. By default the system's roots
	// are trusted, and by sources of assertions always. Not together with HTTPClient.
	CAFile string

	// IdentityBinding sends token requests to the token proxy of the AKS cluster that
	// the program runs in: with an identity binding, the assertion in
	// AZURE_FEDERATED_TOKEN_FILE is for that proxy, and Entra refuses it. See
	// https://learn.microsoft.com/azure/aks/identity-bindings-concepts. It is for
	// [Federated] credentials alone: a secret has no business at the proxy.
	//
	// Where the proxy is stands in the environment, as the webhook of workload identity
	// writes it and [New] reads it: AZURE_KUBERNETES_TOKEN_PROXY, an https URL;
	// AZURE_KUBERNETES_SNI_NAME, the name in its certificate, if it is another; and
	// AZURE_KUBERNETES_CA_FILE or AZURE_KUBERNETES_CA_DATA, the roots that are trusted
	// in place of the system's. The file is read as CAFile is. What contradicts itself
	// there is [ErrConfiguration], from New. If none of them is set, requests go to
	// Entra, and [EventIdentityBinding] says so; as it does, in case it was forgotten,
	// if IdentityBinding is not set and the proxy is.
	//
	// The proxy is asked directly, unlike by azidentity: it is in the cluster, and a
	// proxy of the environment, which is the way out, has no business there. Not
	// together with HTTPClient or CAFile.
	IdentityBinding bool

	// CAE declares the client capability "cp1" for every token of this client:
	// Entra may then revoke a token early and the API answer with a claims
	// challenge, in return for tokens that last about a day. [Transport] and Azure
	// SDK clients with [Client.TokenCredential] answer challenges; a program that
	// calls [Client.Token] must hand them to [Client.TokenFor]. See
	// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
	CAE bool

	// Logger gets one record per token request, by default none: Debug if it
	// brought a token, Warn if not.
	Logger *slog.Logger

	// OnEvent is told of every token request when it has ended. Its context has
	// the values of the context that caused the request, such as a span, and ends
	// after about a second, for which callers wait at most. It may be called from
	// several goroutines at once. One that panics is ignored, and one that does not
	// return is, until it has, tried again after five minutes and ever less often; what
	// it is not told of meanwhile is lost. A token request tells the client
	// that began it, not others that share the token.
	OnEvent func(context.Context, Event)
}

func (o *Options) orDefault() *Options {
	if o == nil {
		return &Options{}
	}
	return o
}

func (o *Options) checkHTTPClient() error {
	if o.HTTPClient != nil && holdsNil(o.HTTPClient.Transport) {
		return errorf(ErrConfiguration, "apponly: Options.HTTPClient: its Transport is a nil %T", o.HTTPClient.Transport)
	}
	return nil
}

func (o *Options) cache() *Cache {
	if o.Cache == nil {
		return DefaultCache()
	}
	return o.Cache
}

// sender returns how token requests are sent for a credential with these members.
func (o *Options) sender(members []*credential) (sender, error) {
	federated := func(c *credential) bool { return c.federated }
	switch {
	case o.IdentityBinding:
		return o.proxySender(!slices.ContainsFunc(members, func(c *credential) bool { return !federated(c) }))
	case o.CAFile != "" && o.HTTPClient != nil:
		return sender{}, errorf(ErrConfiguration, "apponly: Options.CAFile and Options.HTTPClient are both set: the roots belong into the client's transport")
	}
	s := sender{http: o.HTTPClient}
	if slices.ContainsFunc(members, federated) && isSet(envTokenProxy) {
		s.notice = &notice{err: errBindingOff}
	}
	if o.CAFile != "" {
		if err := checkPath(ErrCAFile, nameCAFile, o.CAFile); err != nil {
			return sender{}, err
		}
		path := absolute(o.CAFile)
		s.http, s.roots = caFileClient(path), watch(path)
	}
	return s, nil
}

// proxySender is sender with IdentityBinding, for credentials that are all federated or
// not.
func (o *Options) proxySender(federated bool) (sender, error) {
	s, err := proxySender()
	errs := []error{err}
	if o.HTTPClient != nil {
		errs = append(errs, errorf(ErrConfiguration, "apponly: %s and Options.HTTPClient are both set: the proxy of the cluster has a client of its own", nameBinding))
	}
	if o.CAFile != "" {
		errs = append(errs, errorf(ErrConfiguration, "apponly: %s and %s are both set: the roots for the proxy of the cluster are in %s or %s", nameBinding, nameCAFile, envProxyCAFile, envProxyCAData))
	}
	if !federated {
		errs = append(errs, errorf(ErrConfiguration, "apponly: %s is set, but a credential is not federated: the proxy of the cluster exchanges nothing but assertions", nameBinding))
	}
	return s, errors.Join(errs...)
}

func (o *Options) observers() observers {
	return observers{o.Logger, o.OnEvent, new(flight.Guard)}
}

func (o *Options) allowedTenants() ([]string, error) {
	var allowed []string
	var errs []error
	for _, id := range o.AllowedTenants {
		tenant, err := id, error(nil)
		if id != "*" {
			tenant, err = checkTenant(id)
		}
		if err != nil {
			errs = append(errs, inField("Options.AllowedTenants", err))
			continue
		}
		allowed = append(allowed, tenant)
	}
	return allowed, errors.Join(errs...)
}

// identityKey is what clients share tokens by. Two with equal keys are the same
// app with the same proof of it.
type identityKey struct {
	cloud      cloud.Cloud
	clientID   string
	credential any // comparable; stable across rotations
	cp1        bool
	http       *http.Client
}
