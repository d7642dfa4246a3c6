// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apponly/apponly/cloud"
)

// SetCloud makes the emulator pretend to be c: [Server.HTTPClient] reaches it by the
// authority of c, and its issuers, the cloud_instance_name of its keys and the exchange
// audience are those of c. What depends on the cloud can be tested by it, such as that
// an API in the public cloud refuses tokens of the US government cloud. It panics once the
// emulator listens, and for a cloud that is not valid or whose version 1 issuer is not
// known ([cloud.Cloud.Issuer]).
//
// A program that does not use HTTPClient reaches the real c. [Server.StartTLS] and its
// siblings end the pretence: what listens is a cloud of its own.
func (s *Server) SetCloud(c cloud.Cloud) {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.secure != nil {
		panicIf(fmt.Errorf("the emulator listens at %s, and is no other cloud", s.secure.base))
	}
	if _, ok := c.Issuer(1, emptyGUID); !ok {
		panicIf(fmt.Errorf("the issuers of the cloud %s are not known", c))
	}
	s.update(func() {
		for i := range s.app.federated { // of the demo app, which trusts FederatedToken
			if fc := &s.app.federated[i]; fc.Subject == demoSubject && fc.Audience == s.cloud.ExchangeAudience() {
				fc.Audience = c.ExchangeAudience()
			}
		}
		s.cloud = c
	})
}

// clouds are those whose tokens this request may be for or about: the one with the host
// that the client has asked, if that can be one, and the emulator's.
func (c *call) clouds() []cloud.Cloud {
	own := c.s.Cloud()
	if strings.HasSuffix(c.base, regionalHosts) { // which only the public cloud has
		return []cloud.Cloud{cloud.Public, own}
	}
	if asked := cloud.Custom(c.base); asked.Validate() == nil && c.s.regionOf(c.base) == "" {
		return []cloud.Cloud{asked, own}
	}
	return []cloud.Cloud{own}
}

// templateTenant stands for the tenant in documents that are of none in particular.
const templateTenant = "{tenantid}"

// issuer is the iss of the tokens of a version, 1 or 2, in a tenant or in templateTenant.
// It begins with the host that was asked, because the emulator may have names it does not
// know of ([Server.ServeHTTP]).
func (c *call) issuer(tenant string, version int) string {
	for _, k := range c.clouds() {
		if template, ok := k.Issuer(version, emptyGUID); ok {
			return strings.Replace(template, emptyGUID, tenant, 1)
		}
	}
	panic("entratest: the emulator is a cloud without issuers") // which nothing makes it
}

// entraIssuer returns the tenant and the version (1 or 2) of an issuer that is this
// emulator; version is 0 if it is not.
func (c *call) entraIssuer(iss string) (tenant string, version int) {
	for _, k := range c.clouds() {
		for _, version := range []int{1, 2} {
			template, _ := k.Issuer(version, emptyGUID)
			before, after, known := strings.Cut(template, emptyGUID)
			rest, ok := strings.CutPrefix(iss, before)
			if tenant, whole := strings.CutSuffix(rest, after); known && ok && whole {
				return tenant, version
			}
		}
	}
	return "", 0
}

// instanceName is the cloud_instance_name of keys. Where none is known it is made of the
// host, as those that are known are.
func (c *call) instanceName() string {
	k := c.clouds()[0]
	host := hostname(strings.TrimPrefix(k.Authority(), "https://"))
	return cmp.Or(k.InstanceName(), strings.TrimPrefix(host, "login."))
}

// isIssuerOf reports whether iss is an issuer of tokens of a version and a tenant at any
// host.
func isIssuerOf(iss, tenant string, version int) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(iss, "https://"), "/")
	want, ok := cloud.Custom("https://"+host).Issuer(version, tenant)
	return ok && iss == want
}

func isExchangeAudience(aud string) bool {
	return slices.ContainsFunc([]cloud.Cloud{cloud.Public, cloud.USGovernment, cloud.China},
		func(c cloud.Cloud) bool { return c.ExchangeAudience() == aud })
}

// ofRealCloud reports whether an issuer is at the authority of one of the clouds
// that Microsoft operates, and so Entra.
func ofRealCloud(iss string) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(iss, "https://"), "/")
	_, err := cloud.FromAuthority(host)
	return err == nil
}
