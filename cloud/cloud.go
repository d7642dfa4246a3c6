// SPDX-License-Identifier: MIT

// Package cloud names the Microsoft Entra clouds: the public one, the
// national and sovereign ones, and custom authorities such as an emulator.
//
// A [Cloud] is a comparable value; its zero value is [Public]. The package
// performs no I/O: there is no instance discovery, because everything a token
// request needs follows from the authority and the tenant.
package cloud

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Cloud is an Entra cloud. It is comparable and safe for concurrent use; the
// zero value is [Public].
type Cloud struct {
	// authority is "https://host[:port]", empty for Public, so that the zero
	// value and Public are the same map key.
	authority string
}

const publicAuthority = "https://login.microsoftonline.com"

// The clouds Microsoft operates or licenses, by their preferred authority
// host. See https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud.
var (
	Public       = Cloud{}
	USGovernment = Cloud{"https://login.microsoftonline.us"}
	China        = Cloud{"https://login.partner.microsoftonline.cn"}
	Bleu         = Cloud{"https://login.sovcloud-identity.fr"}
	Delos        = Cloud{"https://login.sovcloud-identity.de"}
	GovSG        = Cloud{"https://login.sovcloud-identity.sg"}
)

// known maps every live authority host, preferred or alias, to its cloud. The
// German cloud closed in 2021 and the legacy US host are left out on purpose:
// a secret sent there reaches nobody who should have it.
var known = map[string]Cloud{
	"login.microsoftonline.com":        Public,
	"login.windows.net":                Public,
	"login.microsoft.com":              Public,
	"sts.windows.net":                  Public,
	"login.microsoftonline.us":         USGovernment,
	"login.usgovcloudapi.net":          USGovernment,
	"login.partner.microsoftonline.cn": China,
	"login.chinacloudapi.cn":           China,
	"login.sovcloud-identity.fr":       Bleu,
	"login.sovcloud-identity.de":       Delos,
	"login.sovcloud-identity.sg":       GovSG,
}

// Custom returns the cloud at authority, "https://host" or "https://host:port",
// for a private deployment or an emulator. A trailing slash is ignored and a
// known host gives its known cloud, so that equal authorities are equal values.
//
// Secrets and assertions are sent to this host: never take it from input that
// is not trusted. Custom does not fail; [Cloud.Validate] reports what is wrong
// with the authority, and constructors that take a Cloud call it.
func Custom(authority string) Cloud {
	a := strings.TrimSuffix(authority, "/")
	u, err := url.Parse(a)
	if err != nil || checkAuthority(u) != nil {
		// Kept as it is, so that Validate can name it. An empty one must not
		// turn into Public.
		return Cloud{authority: "invalid:" + authority}
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	if c, ok := known[host]; ok {
		return c
	}
	return Cloud{authority: "https://" + host}
}

// FromAuthority returns the cloud of a known authority host, given as "host"
// or "https://host", letter case and a trailing slash ignored. An alias gives
// the cloud with its preferred host. Any other host is an error: sending a
// credential to a host that came from the environment must be a decision, and
// [Custom] is how to spell it.
func FromAuthority(host string) (Cloud, error) {
	h := strings.TrimSuffix(strings.ToLower(host), "/")
	if scheme, rest, ok := strings.Cut(h, "://"); ok {
		if scheme != "https" {
			return Cloud{}, fmt.Errorf("cloud: authority host: scheme is %q, must be https", scheme)
		}
		h = rest
	}
	h = strings.TrimSuffix(h, ":443")
	if c, ok := known[h]; ok {
		return c, nil
	}
	if strings.Contains(h, "@") {
		return Cloud{}, errors.New("cloud: authority host has user information") // not quoted: it may be a password
	}
	return Cloud{}, fmt.Errorf("cloud: authority host %q is not a known Entra cloud", host)
}

// Known reports whether c is one of the clouds of this package rather than a
// [Custom] one.
func (c Cloud) Known() bool {
	k, ok := known[strings.TrimPrefix(c.Authority(), "https://")]
	return ok && k == c
}

// Validate reports what is wrong with the authority of a [Custom] cloud, nil
// if nothing is.
func (c Cloud) Validate() error {
	bad, ok := strings.CutPrefix(c.authority, "invalid:")
	if !ok {
		return nil
	}
	u, err := url.Parse(strings.TrimSuffix(bad, "/"))
	if err != nil {
		return errors.New("cloud: authority is not a URL; want https://host[:port]")
	}
	return fmt.Errorf("cloud: authority %q: %w", u.Redacted(), checkAuthority(u))
}

// Authority returns "https://host[:port]" without a trailing slash.
func (c Cloud) Authority() string {
	if c.authority == "" {
		return publicAuthority
	}
	return c.authority
}

// TokenEndpoint returns the URL of the v2.0 token endpoint of a tenant. It
// does not validate tenantID: whoever builds a URL from input checks it first.
func (c Cloud) TokenEndpoint(tenantID string) string {
	return c.Authority() + "/" + tenantID + "/oauth2/v2.0/token"
}

// ExchangeAudience returns the audience that a federated assertion is expected
// to carry in this cloud, "api://AzureADTokenExchange" unless the cloud has
// another one. See
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation.
func (c Cloud) ExchangeAudience() string {
	switch c {
	case USGovernment:
		return "api://AzureADTokenExchangeUSGov"
	case China:
		return "api://AzureADTokenExchangeChina"
	default:
		return "api://AzureADTokenExchange"
	}
}

// String returns the authority.
func (c Cloud) String() string { return c.Authority() }

// checkAuthority demands a bare https origin: user information, a path or a
// query would end up in URLs built from it.
func checkAuthority(u *url.URL) error {
	switch {
	case u.Scheme != "https":
		return errors.New("scheme must be https")
	case u.Hostname() == "":
		return errors.New("host is missing")
	case u.User != nil:
		return errors.New("user information is not allowed")
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return errors.New("want https://host[:port] and nothing behind it")
	case strings.ContainsAny(u.Host, " %\\@") || strings.HasSuffix(u.Hostname(), "."):
		return errors.New("host is not a plain host name")
	}
	return nil
}
