// SPDX-License-Identifier: MIT

package cloud

import "strings"

// Issuer returns the iss of the access tokens of a tenant, of version 1 or 2, which is
// the API's choice. ok is false where it is not known (version 1 in [Bleu], [Delos] and
// [GovSG]), for other versions, for a cloud that is not valid, and for a tenantID that is
// no GUID: a tenant's domain name is in no issuer. The letter case of tenantID is kept;
// Entra writes lower case.
//
// [Public] and [USGovernment] have the same issuers in version 1. Only the key that signed
// a token of that version tells them apart, see [Cloud.InstanceName].
//
// See https://learn.microsoft.com/entra/identity-platform/access-tokens and
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference;
// for [China] the samples at https://docs.azure.cn.
func (c Cloud) Issuer(version int, tenantID string) (issuer string, ok bool) {
	switch {
	case !isGUID(tenantID) || c.Validate() != nil:
		return "", false
	case version == 2:
		return c.Authority() + "/" + tenantID + "/v2.0", true
	case version != 1:
		return "", false
	}
	switch c {
	case Public, USGovernment:
		return "https://sts.windows.net/" + tenantID + "/", true
	case China:
		return "https://sts.chinacloudapi.cn/" + tenantID + "/", true
	case Bleu, Delos, GovSG:
		return "", false // nothing is published about them, and a guess would let tokens in
	}
	return c.Authority() + "/" + tenantID + "/", true
}

// InstanceName returns the cloud_instance_name of this cloud's keys in the documents that
// they are published in, "" if it is not known: for [Bleu], [Delos], [GovSG] and [Custom]
// clouds.
//
// A document may hold keys of another cloud: that of [Public] does hold some of
// [USGovernment], with the issuers of [Public]. Whoever verifies tokens leaves out a
// key that names another cloud, as EnableEntraIdSigningKeyCloudInstanceValidation of
// Microsoft.IdentityModel.Validators does.
func (c Cloud) InstanceName() string {
	switch c {
	case Public:
		return "microsoftonline.com"
	case USGovernment:
		return "microsoftonline.us"
	case China:
		return "partner.microsoftonline.cn"
	}
	return ""
}

// isGUID reports whether s is 8-4-4-4-12 hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !strings.Contains("0123456789abcdefABCDEF", s[i:i+1]) {
				return false
			}
		}
	}
	return true
}
