// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"net/http"

	"github.com/apponly/apponly/internal/ident"
)

// refusal is a reason not to issue a token: a row of the table below, and what its
// text says about this request.
type refusal struct {
	refusalRow
	code int
	args []any
	why  []Comparison // for the record
}

// refuse makes a refusal. Arguments come from the request and are shortened;
// secrets and assertions are never among them.
func refuse(code int, args ...any) *refusal {
	row, ok := rowOf(code)
	if !ok {
		panic(fmt.Sprintf("entratest: no text for AADSTS%d", code))
	}
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = shorten(s, maxRecorded)
		}
	}
	return &refusal{refusalRow: row, code: code, args: args}
}

func (f *refusal) description() string {
	return fmt.Sprintf("AADSTS%d: ", f.code) + fmt.Sprintf(f.text, f.args...)
}

// members returns what the answer holds besides the members of every refusal.
func (f *refusal) members() map[string]any {
	if f.code != 53003 {
		return nil
	}
	// Entra names the policies that blocked. This looks like a claims challenge, but
	// an app without a user cannot meet it.
	return map[string]any{
		"suberror": "message_only",
		"claims":   `{"access_token":{"capolids":{"essential":true,"values":["` + ident.NewGUID() + `"]}}}`,
	}
}

// noURI are the refusals that came without an error_uri where one of them was captured
// (testdata/aadsts_samples.jsonl).
var noURI = []int{700212, 7002137, 90061, 9002313}

type refusalRow struct {
	status int
	oauth  string
	text   string
}

// accessDenied is the error of what goes back to the app by redirect.
const accessDenied = "access_denied"

const (
	badRequest   = http.StatusBadRequest
	unauthorized = http.StatusUnauthorized
	unavailable  = http.StatusServiceUnavailable
)

// refusals are the answers of Entra. Number, status and error are its own, as
// observed or documented; where only the number and its meaning are known, status
// and error are those of similar numbers. The texts are ours and for people only.
var refusals = map[int]refusalRow{
	// The request.
	900144:  {badRequest, "invalid_request", "The request lacks the parameter '%s'."},
	900561:  {badRequest, "invalid_request", "Only POST is served here, this was %s."},
	901002:  {badRequest, "invalid_request", "The parameter 'resource' is not supported, name the resource in the scope."},
	9002313: {badRequest, "invalid_request", "The request is malformed: %s."},
	70003:   {badRequest, "unsupported_grant_type", "Grant type '%s' is not supported."},

	// The tenant and the authority.
	90002:   {badRequest, "invalid_request", "There is no tenant '%s'. Check the tenant ID and the cloud."},
	900021:  {badRequest, "invalid_request", "Tenant identifier '%s' is the empty GUID."},
	900023:  {badRequest, "invalid_request", "Tenant identifier '%s' is neither a GUID nor a domain name."},
	50049:   {badRequest, "invalid_instance", "Authority '%s' is not known here."},
	50059:   {badRequest, "invalid_request", "Neither the request nor its credential says which tenant is meant."},
	9001023: {badRequest, "invalid_request", "This grant is not supported at /consumers, use the endpoint of a tenant."},
	5000224: {badRequest, "invalid_request", "The tenant is not available."},
	900382:  {badRequest, "invalid_request", "The tenant is in another cloud, which a confidential client cannot reach from here."},
	100007:  {badRequest, "invalid_request", "The regional endpoint '%s' serves managed identities and Microsoft's own services only."},

	// The app.
	700016:  {badRequest, "unauthorized_client", "No application with identifier '%s' was found in the directory '%s'."},
	700038:  {badRequest, "unauthorized_client", "'%s' is no identifier that an application can have."},
	7000229: {unauthorized, "invalid_client", "Application '%s' has no service principal in the tenant '%s'."},
	7000112: {badRequest, "unauthorized_client", "Application '%s' is disabled."},

	// What an administrator is told who is to consent.
	50011:  {badRequest, "invalid_request", "The redirect URI '%s' is not one of application '%s'."},
	50194:  {badRequest, "invalid_request", "Application '%s' is not multi-tenant, and cannot be used at /%s."},
	650052: {badRequest, "invalid_client", "Application '%s' needs the API '%s', which has no service principal in the tenant '%s'."},

	// What the app is told of an administrator, by redirect.
	50020: {badRequest, accessDenied, "The account is of another tenant than '%s', and unknown there."},
	65004: {badRequest, accessDenied, "The administrator declined to consent to application '%s'."},

	// Secrets, and credentials in general.
	7000216: {unauthorized, "invalid_client", "A client_secret or a client_assertion is required for this grant."},
	7000215: {unauthorized, "invalid_client", "The client secret is not one of application '%s'. Is it the value of the secret, not its ID?"},
	7000222: {unauthorized, "invalid_client", "The client secret of application '%s' has expired."},
	700025:  {unauthorized, "invalid_client", "Application '%s' is a public client and must not send a credential."},

	// Assertions of any origin.
	50027:   {unauthorized, "invalid_client", "The client assertion is not a valid JWT: %s."},
	5002738: {unauthorized, "invalid_client", "The client assertion is signed with '%s'; supported here: %s."},
	700024:  {unauthorized, "invalid_client", "The client assertion is outside its time range: it is %s, valid from %s, until %s."},

	// Assertions an app signs itself.
	5002723: {unauthorized, "invalid_client", "The client assertion names no certificate: neither x5t nor x5t#S256 is in its header, and no kid that is an x5t."},
	5002727: {badRequest, "invalid_request", "The client assertion has the type '%s', want JWT."},
	700021:  {unauthorized, "invalid_client", "The iss and sub of the client assertion must both be the client_id '%s'."},
	50048:   {unauthorized, "invalid_client", "The sub of the client assertion, '%s', is not its iss."},
	700023:  {unauthorized, "invalid_client", "The audience of the client assertion is '%s', want the token endpoint '%s'."},
	700027:  {unauthorized, "invalid_client", "The signature of the client assertion is invalid: %s. Application '%s'."},
	700030:  {unauthorized, "invalid_client", "The certificate in x5c is not registered and its subject, '%s', is not authorized."},
	1000502: {unauthorized, "invalid_client", "The certificate of the client assertion is outside its validity, %s to %s."},
	7000214: {unauthorized, "invalid_client", "The certificate of the client assertion has been revoked."},

	// Assertions of outside issuers.
	70025:   {unauthorized, "invalid_client", "Application '%s' has no federated credential."},
	700211:  {unauthorized, "invalid_client", "No federated credential has the assertion's issuer '%s'."},
	700212:  {unauthorized, "invalid_client", "No federated credential has the assertion's audience '%s'."},
	700213:  {unauthorized, "invalid_client", "No federated credential has the assertion's subject '%s'."},
	7002137: {unauthorized, "invalid_client", "No federated credential has the assertion's subject '%s'; it has to be in the same form there."},
	7002138: {unauthorized, "invalid_client", "The assertion's subject '%s' differs from that of a federated credential in letter case only."},
	700223:  {unauthorized, "invalid_client", "The tenant of application '%s' does not allow federated credentials."},
	700238:  {unauthorized, "invalid_client", "The tenant of the application does not allow to federate with the issuer '%s'."},
	7000272: {unauthorized, "invalid_client", "No key of the assertion's issuer fits: %s (kid '%s')."},
	90061:   {badRequest, "invalid_request", "The metadata of the assertion's issuer '%s' could not be fetched."},
	501661:  {badRequest, "invalid_request", "The keys of the assertion's issuer '%s' could not be fetched."},

	// Assertions of Entra itself: managed identities.
	700222:   {unauthorized, "invalid_client", "An assertion issued by Entra itself, '%s', is not accepted here."},
	700226:   {unauthorized, "invalid_client", "Of the tokens that Entra issues, only those of managed identities are accepted as an assertion."},
	700227:   {unauthorized, "invalid_client", "A version 1 token with the audience '%s' is not accepted as an assertion."},
	700236:   {unauthorized, "invalid_client", "The assertion's issuer '%s' is not of the tenant that the application is registered in."},
	7002121:  {unauthorized, "invalid_client", "No federated credential has the assertion's audience '%s'."},
	70022204: {unauthorized, "invalid_client", "The assertion's audience '%s' is that of another cloud."},

	// The scope and the resource.
	1002012: {badRequest, "invalid_scope", "Scope '%s' is not that of an app-only request; want one resource followed by /.default."},
	70011:   {badRequest, "invalid_scope", "Scope '%s' combines /.default with other scopes of the resource."},
	700022:  {badRequest, "invalid_scope", "Scope '%s' asks for more than one resource."},
	500011:  {badRequest, "invalid_resource", "No resource named '%s' was found in the tenant '%s'."},
	50001:   {badRequest, "invalid_resource", "The resource '%s' is disabled."},
	500014:  {badRequest, "invalid_resource", "The service principal of the resource '%s' is disabled in the tenant."},

	// The client has proved who it is, but does not get a token.
	501051:  {badRequest, "invalid_grant", "Application '%s' has no role on '%s', which requires one."},
	53003:   {badRequest, "invalid_grant", "Conditional Access does not allow the token."},
	530032:  {badRequest, "invalid_grant", "A security policy of the tenant does not allow the token."},
	530035:  {badRequest, "invalid_grant", "The security defaults of the tenant do not allow the token."},
	1000031: {badRequest, "unauthorized_client", "The application cannot be used at this time."},
}

// outages are the refusals that do not follow from the request: Entra itself is in
// trouble, or the client asks too often. They are there for faults.
var outages = map[int]refusalRow{
	50033: {unavailable, "temporarily_unavailable", "A transient error has occurred. Try again."},
	90006: {unavailable, "temporarily_unavailable", "A service behind this one could not be reached. Try again."},
	90012: {unavailable, "temporarily_unavailable", "The request has taken too long. Try again."},
	90024: {unavailable, "temporarily_unavailable", "The request has used up its time. Try again."},
	90033: {unavailable, "temporarily_unavailable", "The directory is unavailable for the moment. Try again."},
	90090: {unavailable, "temporarily_unavailable", "The directory could not be read. Try again."},
	90055: {http.StatusTooManyRequests, "temporarily_unavailable", "The tenant has sent too many requests."},
	50196: {badRequest, "invalid_grant", "The client asks the same again and again: a loop was detected."},
}

// rowOf returns the row of an AADSTS number.
func rowOf(code int) (row refusalRow, ok bool) {
	if row, ok = refusals[code]; !ok {
		row, ok = outages[code]
	}
	return row, ok
}
