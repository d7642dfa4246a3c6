// SPDX-License-Identifier: MIT

// Package cloud names the Microsoft Entra clouds: the public one, the
// national and sovereign ones, and custom authorities such as an emulator.
//
//	apponly.Options{Cloud: cloud.USGovernment}
//	c, err := cloud.FromEnv()                    // AZURE_AUTHORITY_HOST, Public without it
//	c.TokenEndpoint(tenantID)                    // where tokens are asked for
//	issuer, ok := c.Issuer(2, tenantID)          // what they name as their issuer
//
// A [Cloud] is a comparable value; its zero value is [Public]. The package
// performs no I/O: there is no instance discovery, because everything a token
// request needs follows from the authority and the tenant.
package cloud

import (
	"errors"
	"fmt"
	"os"
	"strconv"
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
	host, fault := parseAuthority(authority, true)
	if fault != "" {
		// Kept as a fault, not as it is: it may be a secret in the wrong place, and
		// an empty one must not turn into Public.
		return Cloud{authority: invalid + fault}
	}
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
	name, fault := parseAuthority(host, false)
	if fault != "" {
		return Cloud{}, errors.New("cloud: authority host" + fault)
	}
	if c, ok := known[name]; ok {
		return c, nil
	}
	return Cloud{}, fmt.Errorf("cloud: authority host%s is not a known Entra cloud", shown(name))
}

// The variables that FromEnv reads.
const (
	envAuthority = "AZURE_AUTHORITY_HOST"
	envTrust     = "APPONLY_TRUST_AUTHORITY_HOST"
)

// FromEnv returns the cloud whose authority host AZURE_AUTHORITY_HOST names, [Public]
// if that is not set. It is for programs that come from azidentity, whose constructors
// read this variable, and give the cloud to New of package apponly, which does not.
//
// A host that is not known is an error unless APPONLY_TRUST_AUTHORITY_HOST is 1: the
// environment alone should not decide where a credential is sent.
func FromEnv() (Cloud, error) {
	value := strings.TrimSpace(strings.TrimPrefix(os.Getenv(envAuthority), "\ufeff")) // of Windows editors
	if value == "" {
		return Public, nil
	}
	host, fault := parseAuthority(value, false)
	if fault != "" {
		return Cloud{}, errors.New("cloud: " + envAuthority + fault)
	}
	if c, ok := known[host]; ok {
		return c, nil
	}
	trust := strings.TrimSpace(os.Getenv(envTrust))
	switch trusted, err := strconv.ParseBool(trust); {
	case trusted:
		return Cloud{authority: "https://" + host}, nil
	case trust != "" && err != nil:
		return Cloud{}, errors.New("cloud: " + envTrust + " is neither true nor false")
	}
	return Cloud{}, fmt.Errorf("cloud: %s%s is not a known Entra cloud; the credential would be sent there: if it is yours, set %s=1", envAuthority, shown(host), envTrust)
}

// Known reports whether c is one of the clouds of this package rather than a
// [Custom] one.
func (c Cloud) Known() bool {
	k, ok := known[strings.TrimPrefix(c.Authority(), "https://")]
	return ok && k == c
}

// invalid begins the authority of a cloud that is none; its fault follows.
const invalid = "invalid:"

// Validate reports what is wrong with the authority of a [Custom] cloud, nil
// if nothing is.
func (c Cloud) Validate() error {
	if fault, ok := strings.CutPrefix(c.authority, invalid); ok {
		return errors.New("cloud: authority" + fault)
	}
	return nil
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
