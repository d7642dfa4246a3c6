// SPDX-License-Identifier: MIT

package verify

// A Kind says why a token was not accepted. It is itself an error, to be compared
// with:
//
//	if errors.Is(err, verify.ErrExpired) { … }
//
// Every Kind belongs to one group, [ErrUnauthenticated], [ErrForbidden] or
// [ErrUnavailable], which errors.Is answers for too.
type Kind string

// Groups of kinds: to compare with, never the Kind of an [Error].
const (
	// ErrUnauthenticated groups what leaves open who is calling: 401.
	ErrUnauthenticated Kind = "unauthenticated"
	// ErrForbidden groups what is refused to a caller who is known: 403.
	ErrForbidden Kind = "forbidden"
	// ErrUnavailable groups what could not be checked: 503. Nothing is known of the
	// token then, and it was not let in.
	ErrUnavailable Kind = "unavailable"
)

// Kinds of [ErrUnauthenticated].
const (
	// ErrNoToken: there is no bearer token.
	ErrNoToken Kind = "no_token"
	// ErrMalformed: it is not a JWT of the form that Entra issues.
	ErrMalformed Kind = "malformed"
	// ErrEncrypted: it is a JWE (RFC 7516).
	ErrEncrypted Kind = "encrypted"
	// ErrAlgorithm: the algorithm is neither RS256 nor PS256.
	ErrAlgorithm Kind = "algorithm"
	// ErrUnknownKey: Entra does not publish the key for this API's cloud.
	ErrUnknownKey Kind = "unknown_key"
	// ErrSignature: the signature is not that of the key.
	ErrSignature Kind = "signature"
	// ErrIssuer: the issuer is not Entra for the token's tenant and cloud, or the
	// key is not that issuer's.
	ErrIssuer Kind = "issuer"
	// ErrAudience: the token is for another API.
	ErrAudience Kind = "audience"
	// ErrExpired: it has ended.
	ErrExpired Kind = "expired"
	// ErrNotYetValid: it has not begun.
	ErrNotYetValid Kind = "not_yet_valid"
	// ErrRevoked: [Options.Revoked] says so.
	ErrRevoked Kind = "revoked"
)

// Kinds of [ErrForbidden].
const (
	// ErrTenant: no rule is for the token's tenant. Of a token whose signature was
	// not checked for that reason it belongs to [ErrUnauthenticated].
	ErrTenant Kind = "tenant"
	// ErrNotAppOnly: the token is a user's, or cannot be told from one.
	ErrNotAppOnly Kind = "not_app_only"
	// ErrClientAuth: the app proved itself by less than [Options.RefuseClientSecrets]
	// demands.
	ErrClientAuth Kind = "client_auth"
	// ErrNotAllowed: no rule lets this app in, by name or by role.
	ErrNotAllowed Kind = "not_allowed"
)

// Kinds of [ErrUnavailable].
const (
	// ErrKeysUnavailable: Entra's keys could not be had.
	ErrKeysUnavailable Kind = "keys_unavailable"
	// ErrTenantUnknown: [Rule.TenantFunc] failed.
	ErrTenantUnknown Kind = "tenant_unknown"
)

type kindInfo struct {
	group        Kind
	text, remedy string
}

// kinds has all of them; a test compares it with the constants.
var kinds = map[Kind]kindInfo{
	ErrUnauthenticated: {"", "the caller is not known", ""},
	ErrForbidden:       {"", "the caller is refused", ""},
	ErrUnavailable:     {"", "the token could not be checked", ""},

	ErrNoToken:     {ErrUnauthenticated, "no access token", "Send the token in the header Authorization: Bearer, and nowhere else."},
	ErrMalformed:   {ErrUnauthenticated, "the token is malformed", "Send the access token as Entra returned it. An ID token, an opaque token or a token of another issuer is none."},
	ErrEncrypted:   {ErrUnauthenticated, "the token is encrypted", "Remove the token encryption certificate from the app registration of this API: tokenEncryptionKeyId in its manifest."},
	ErrAlgorithm:   {ErrUnauthenticated, "the algorithm of the signature is not accepted", "Entra signs with RS256. A token that says something else is not Entra's."},
	ErrUnknownKey:  {ErrUnauthenticated, "the token is signed with a key that is not Entra's", "Compare the cloud of this API with the one that issued the token. If the API's registration has signing keys of its own (claims mapping), set CustomSigningKeys."},
	ErrSignature:   {ErrUnauthenticated, "the signature is wrong", "The token was changed on the way, or is one for Microsoft Graph, which nobody but Graph can verify: the caller has to ask for this API's scope."},
	ErrIssuer:      {ErrUnauthenticated, "the issuer is not accepted", "The token is of another cloud, or a v1.0 token where those are refused: set requestedAccessTokenVersion to 2 in the manifest of this API's registration."},
	ErrAudience:    {ErrUnauthenticated, "the token is for another API", "The caller has to ask for this API's scope, api://<client ID>/.default. If the token is a v1.0 one for an App ID URI, name it in AppIDURIs."},
	ErrExpired:     {ErrUnauthenticated, "the token has expired", "The caller has to get a new token. If it is a fresh one, compare this machine's clock."},
	ErrNotYetValid: {ErrUnauthenticated, "the token is not valid yet", "Compare this machine's clock with Entra's."},
	ErrRevoked:     {ErrUnauthenticated, "the token is revoked", "The caller has to get a new token."},

	ErrTenant:     {ErrForbidden, "no rule is for the tenant", "If the tenant is a customer's, add a rule for it, or let TenantFunc know it."},
	ErrNotAppOnly: {ErrForbidden, "the token is not app-only", "The caller has to use the client credentials grant. Add the optional claim idtyp to the access tokens of this API's registration, so that app-only tokens say that they are."},
	ErrClientAuth: {ErrForbidden, "the app proved itself with a client secret, or with nothing", "Give the app a certificate, a federated credential or a managed identity."},
	ErrNotAllowed: {ErrForbidden, "no rule lets the app in", "Entra issues tokens without roles to any app. Assign an app role of this API to the app and have an administrator consent, or add a rule with its client ID."},

	ErrKeysUnavailable: {ErrUnavailable, "Entra's keys could not be fetched", "Let this API reach the host of its cloud's authority."},
	ErrTenantUnknown:   {ErrUnavailable, "the tenant could not be looked up", "TenantFunc returned the error beneath."},
}

// Error returns what the kind means, in a few words that do not change.
func (k Kind) Error() string {
	if info, ok := kinds[k]; ok {
		return info.text
	}
	return string(k)
}

// Group returns the group of k, "" if k is a group or unknown.
func (k Kind) Group() Kind { return kinds[k].group }

// Remedy says what a person does about it, "" for groups.
func (k Kind) Remedy() string { return kinds[k].remedy }
