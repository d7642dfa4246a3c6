// SPDX-License-Identifier: MIT

package apponly

import "errors"

// A Kind says what went wrong in terms of what to do about it. It is itself an
// error, to be compared with:
//
//	if errors.Is(err, apponly.ErrSecretExpired) { … }
//
// Every Kind belongs to one group, [ErrTransient], [ErrCredential],
// [ErrConfiguration] or [ErrPolicy], which errors.Is answers for too.
//
// A Kind is derived from Entra's answer. Microsoft says that AADSTS numbers
// may change, so an unknown number never lands outside these kinds; see
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
type Kind string

// Groups of kinds: to compare with, never the Kind of an [Error].
const (
	// ErrTransient groups what passes by itself. The client retries it.
	ErrTransient Kind = "transient"
	// ErrCredential groups what is wrong with the proof of identity.
	ErrCredential Kind = "credential"
	// ErrConfiguration groups what a person has to correct: names, identifiers,
	// registrations.
	ErrConfiguration Kind = "configuration"
	// ErrPolicy groups what an administrator has forbidden or not yet allowed.
	ErrPolicy Kind = "policy"
)

// Kinds that never reached Entra.
const (
	// ErrUnreachable: Entra did not answer; it is not known what it would say.
	ErrUnreachable Kind = "unreachable"
	// ErrCredentialUnavailable: the secret, certificate or assertion could not
	// be read or made, so Entra was not asked.
	ErrCredentialUnavailable Kind = "credential_unavailable"
	// ErrTenantNotAllowed: the tenant is neither the client's own nor among
	// [Options.AllowedTenants].
	ErrTenantNotAllowed Kind = "tenant_not_allowed"
)

// Kinds of Entra's answers.
const (
	// ErrService: Entra or its directory could not answer properly.
	ErrService Kind = "transient_service"
	// ErrThrottled: too many requests; [Error.RetryAt] says until when.
	ErrThrottled Kind = "throttled"
	// ErrIssuerUnreachable: Entra could not read the keys of the issuer of a
	// federated assertion.
	ErrIssuerUnreachable Kind = "issuer_unreachable"
	// ErrSecretExpired: the secret is the app's, and past its end date.
	ErrSecretExpired Kind = "secret_expired"
	// ErrSecretInvalid: the secret is none of the app's.
	ErrSecretInvalid Kind = "secret_invalid"
	// ErrCredentialMissing: the request carried no usable credential.
	ErrCredentialMissing Kind = "credential_missing"
	// ErrCertificateInvalid: the certificate is none of the app's, or the
	// signature made with it does not verify.
	ErrCertificateInvalid Kind = "certificate_invalid"
	// ErrCertificateExpired: the certificate is outside its validity or revoked.
	ErrCertificateExpired Kind = "certificate_expired"
	// ErrAssertionExpired: the client assertion is outside its time range.
	ErrAssertionExpired Kind = "assertion_expired"
	// ErrAssertionInvalid: the client assertion is not one that Entra accepts.
	ErrAssertionInvalid Kind = "assertion_invalid"
	// ErrFederationMismatch: no federated credential matches the assertion's
	// issuer, subject and audience.
	ErrFederationMismatch Kind = "federation_mismatch"
	// ErrFederationBlocked: this kind of federation is not allowed here.
	ErrFederationBlocked Kind = "federation_blocked"
	// ErrAppNotFound: the client ID is unknown in the tenant, or has no service
	// principal there.
	ErrAppNotFound Kind = "app_not_found"
	// ErrAppDisabled: the app or its service principal is switched off.
	ErrAppDisabled Kind = "app_disabled"
	// ErrAppMisconfigured: the registration contradicts the request.
	ErrAppMisconfigured Kind = "app_misconfigured"
	// ErrTenantNotFound: the tenant is malformed or unknown in this cloud.
	ErrTenantNotFound Kind = "tenant_not_found"
	// ErrTenantBlocked: the tenant exists and is off limits.
	ErrTenantBlocked Kind = "tenant_blocked"
	// ErrAuthorityInvalid: wrong endpoint, wrong cloud, or a placeholder such as
	// "common" where a tenant is needed.
	ErrAuthorityInvalid Kind = "authority_invalid"
	// ErrResourceNotFound: the API named by the scope does not exist in the
	// tenant.
	ErrResourceNotFound Kind = "resource_not_found"
	// ErrScopeInvalid: the scope is not "<resource>/.default".
	ErrScopeInvalid Kind = "scope_invalid"
	// ErrConsentRequired: no administrator has granted the permission.
	ErrConsentRequired Kind = "consent_required"
	// ErrRoleMissing: the API demands an assigned app role and the app has none.
	ErrRoleMissing Kind = "role_missing"
	// ErrGrantNotAllowed: this kind of app may not use client credentials.
	ErrGrantNotAllowed Kind = "grant_not_allowed"
	// ErrConditionalAccess: a Conditional Access policy blocked the token.
	ErrConditionalAccess Kind = "conditional_access"
	// ErrClaimsChallenge: a resource wants a token with other claims.
	ErrClaimsChallenge Kind = "claims_challenge"
	// ErrCAFile: the file of roots that Options.CAFile, APPONLY_CA_FILE or
	// AZURE_KUBERNETES_CA_FILE names is missing or holds none. Entra was not asked.
	ErrCAFile Kind = "ca_file"
	// ErrRequestMalformed: a parameter is missing or badly formed.
	ErrRequestMalformed Kind = "request_malformed"
	// ErrOther: a refusal without a better kind. It belongs to no group.
	ErrOther Kind = "other"
)

type kindInfo struct {
	group    Kind
	text     string // what Error prints
	remedy   string
	recovery recovery
}

// A recovery is what the library does on its own about a kind. This table
// decides alone: nothing acts on AADSTS numbers, which may change.
type recovery struct {
	// retry: the same request is sent again within the flight, while callers
	// wait.
	retry bool
	// reread: the material is read again, and sent once more if it is another.
	// nextOfKey: other certificates of the same key are tried. tryPrevious: so is
	// what the material has replaced. failOver: so is the next credential of a
	// FirstOf.
	reread, nextOfKey, tryPrevious, failOver bool
	// waitAndRetry: what has worked before is tried a few times more.
	waitAndRetry bool
	// retrySoon: asked again after seconds rather than minutes, because it can
	// pass at any moment.
	retrySoon bool
	// fleet: any other process would be told the same, so that the shared cache lets
	// them know. Never what may be a process's own: a secret that was rotated by half,
	// a wrong clock, the address that it comes from.
	fleet bool
}

var (
	unreached = recovery{retry: true, retrySoon: true}
	transient = recovery{retry: true, retrySoon: true, fleet: true}
	// What is registered is the same for everybody.
	registered = recovery{fleet: true}
	// Entra may not have heard yet of material that is new.
	maybeTooNew = recovery{reread: true, nextOfKey: true, tryPrevious: true, failOver: true}
	// Material that is not acceptable as it is does not get better.
	unusable = recovery{reread: true, failOver: true}
)

// recoveryFor returns what may be done about an error.
func recoveryFor(err error) recovery {
	if e, ok := errors.AsType[*Error](err); ok {
		return kinds[e.Kind].recovery
	}
	return recovery{}
}

var kinds = map[Kind]kindInfo{
	ErrUnreachable: {ErrTransient, "entra did not answer",
		"Check DNS, proxy, firewall and TLS inspection between this process and the authority host. Nothing about the app needs to change.", unreached},
	ErrCredentialUnavailable: {ErrCredential, "credential could not be produced",
		"Fix the source of the secret, certificate or assertion named in the error: a missing or unreadable file, an unset variable, a failing callback. Entra was not asked.", recovery{failOver: true, retrySoon: true}},
	ErrTenantNotAllowed: {ErrConfiguration, "tenant is not allowed for this client",
		"Add the tenant to Options.AllowedTenants (in the environment: AZURE_ADDITIONALLY_ALLOWED_TENANTS) if this app is meant to work there.", recovery{}},
	ErrService: {ErrTransient, "entra could not answer properly",
		"Nothing to change in the app. If it lasts, check the service status and give support the correlation and trace IDs.", transient},
	ErrThrottled: {ErrTransient, "too many token requests",
		"Let the process keep one cache and share it; look for code that forces refreshes or runs many replicas that start together.", transient},
	ErrIssuerUnreachable: {ErrTransient, "entra could not reach the assertion's issuer",
		"Make the issuer's OpenID configuration and keys reachable from the public internet, with a valid certificate and no address filter.", recovery{retrySoon: true, fleet: true}},
	ErrSecretExpired: {ErrCredential, "client secret has expired",
		"Create a new secret on the app registration, deploy it, then remove the old one. A certificate or workload identity federation expires less surprisingly.", unusable},
	ErrSecretInvalid: {ErrCredential, "client secret is not one of the app's",
		"Deploy the secret's value, not its ID; look for a trailing newline or an encoding; check that client ID and tenant belong together.", maybeTooNew},
	ErrCredentialMissing: {ErrCredential, "request carried no credential",
		"Set the credential; look for an unset variable or a secret file that is not mounted.", recovery{failOver: true}},
	ErrCertificateInvalid: {ErrCredential, "certificate is not accepted for this app",
		"Upload the public part of this certificate to the app registration, and check that key and certificate are a pair and the cloud is the right one.", maybeTooNew},
	ErrCertificateExpired: {ErrCredential, "certificate is outside its validity",
		"Issue and register a new certificate, then deploy it. If it was revoked, treat the key as compromised.", recovery{reread: true, nextOfKey: true, failOver: true}},
	ErrAssertionExpired: {ErrCredential, "client assertion is outside its time range",
		"Synchronise the clock of this host, and let whatever writes the assertion renew it before it ends.", unusable},
	ErrAssertionInvalid: {ErrCredential, "client assertion is not acceptable",
		"Check that the assertion is a signed JWT made for this tenant and cloud: audience, issuer, subject and algorithm.", unusable},
	ErrFederationMismatch: {ErrCredential, "no federated credential matches the assertion",
		"Compare issuer (trailing slash), subject (letter case) and audience with the federated credential on the app, byte by byte. A new one needs minutes to spread.", recovery{reread: true, failOver: true, waitAndRetry: true}},
	ErrFederationBlocked: {ErrCredential, "this federation is not allowed",
		"Ask the tenant's administrators to allow the issuer, or use a managed identity or certificate.", recovery{failOver: true}},
	ErrAppNotFound: {ErrConfiguration, "app is not in the tenant",
		"Check client ID, tenant and cloud. A multi-tenant app needs an administrator of that tenant to consent first.", registered},
	ErrAppDisabled: {ErrPolicy, "app is disabled",
		"Enable sign-in on the enterprise application; if Microsoft disabled it, follow the notice on the registration.", registered},
	ErrAppMisconfigured: {ErrConfiguration, "app registration contradicts the request",
		"Correct the supported account types, platform or claims mapping on the registration.", registered},
	ErrTenantNotFound: {ErrConfiguration, "tenant is not known in this cloud",
		"Check the tenant ID or domain for typing errors and unset variables, and that the authority host is of the right cloud.", registered},
	ErrTenantBlocked: {ErrPolicy, "tenant is blocked",
		"Ask whether the tenant still exists; check tenant restrictions on the proxy and the cross-tenant access settings.", registered},
	ErrAuthorityInvalid: {ErrConfiguration, "wrong authority",
		"Name one tenant and the host of its cloud; an app cannot cross clouds.", registered},
	ErrResourceNotFound: {ErrConfiguration, "resource does not exist in the tenant",
		"Check the resource in front of /.default; have the API's service principal created or re-enabled in that tenant.", registered},
	ErrScopeInvalid: {ErrConfiguration, "scope is not acceptable",
		"Ask for one resource followed by /.default, and put the wanted app roles on the app instead.", registered},
	ErrConsentRequired: {ErrPolicy, "permission is not granted",
		"Let an administrator of the tenant grant consent for the application permission.", registered},
	ErrRoleMissing: {ErrPolicy, "app has no role on the resource",
		"Assign one of the API's app roles to the app's service principal: the API demands an assignment.", registered},
	ErrGrantNotAllowed: {ErrConfiguration, "app may not use client credentials",
		"Use the flow meant for that kind of identity, or another app registration.", registered},
	ErrConditionalAccess: {ErrPolicy, "blocked by conditional access",
		"Look up the service principal's sign-in log by correlation ID; add the egress addresses to the named location or exempt the service principal.", recovery{}},
	ErrClaimsChallenge: {ErrPolicy, "resource demands other claims",
		"Usually none: the transport answers the challenge. If it lasts, a policy has revoked the service principal.", recovery{}},
	ErrCAFile: {ErrConfiguration, "the file of trusted roots cannot be used",
		"Mount the file that Options.CAFile, APPONLY_CA_FILE or AZURE_KUBERNETES_CA_FILE names, with the roots to trust for token requests in PEM, or unset it to trust the system's.", recovery{retrySoon: true}},
	ErrRequestMalformed: {ErrConfiguration, "request was malformed",
		"Check client ID, tenant and scope for stray characters; report the correlation ID with the configuration if they are clean.", recovery{}},
	ErrOther: {ErrOther, "refused",
		"Give support the AADSTS number, correlation ID, trace ID and time.", recovery{}},
}

// Error returns the kind's own short text, for use with errors.Is and %w.
func (k Kind) Error() string {
	if info, ok := kinds[k]; ok {
		return "apponly: " + info.text
	}
	return "apponly: " + string(k) + " error"
}

// Group returns the group k belongs to: [ErrTransient], [ErrCredential],
// [ErrConfiguration] or [ErrPolicy]. A group is its own group, and so is
// [ErrOther].
func (k Kind) Group() Kind {
	if info, ok := kinds[k]; ok {
		return info.group
	}
	return k
}

// Remedy returns what a person should do about it, in a sentence or two, "" for
// a group.
func (k Kind) Remedy() string { return kinds[k].remedy }
