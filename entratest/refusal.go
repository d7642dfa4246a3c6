// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"net/http"
)

// refusal is a reason not to give a token: a row of the table below and what
// its text says about this request.
type refusal struct {
	code  int
	args  []any
	oauth string // instead of the error of the table
}

// refuse makes a refusal. Arguments come from the request and are shortened;
// secrets and assertions are never among them.
func refuse(code int, args ...any) *refusal {
	if _, ok := refusals[code]; !ok {
		panic(fmt.Sprintf("entratest: no text for AADSTS%d", code))
	}
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = shorten(s, maxRecorded)
		}
	}
	return &refusal{code: code, args: args}
}

func (f *refusal) status() int { return refusals[f.code].status }

func (f *refusal) oauthError() string {
	if f.oauth != "" {
		return f.oauth
	}
	return refusals[f.code].oauth
}

func (f *refusal) text() string {
	return fmt.Sprintf("AADSTS%d: ", f.code) + fmt.Sprintf(refusals[f.code].text, f.args...)
}

type refusalRow struct {
	status int
	oauth  string
	text   string
}

const (
	badRequest   = http.StatusBadRequest
	unauthorized = http.StatusUnauthorized
)

// refusals says what Entra answers with: number, status and error are its own,
// as observed; the texts are ours and only for human eyes.
var refusals = map[int]refusalRow{
	// The request.
	900144:  {badRequest, "invalid_request", "The form body lacks the parameter '%s'."},
	900561:  {badRequest, "invalid_request", "Only POST is served here, this was %s."},
	9002313: {badRequest, "invalid_request", "The request is malformed: %s."},
	70003:   {badRequest, "unsupported_grant_type", "Grant type '%s' is not supported."},

	// The tenant and the authority.
	90002:  {badRequest, "invalid_request", "There is no tenant '%s'. Check the tenant ID and the cloud."},
	900023: {badRequest, "invalid_request", "Tenant identifier '%s' is neither a GUID nor a domain name."},
	50049:  {badRequest, "invalid_instance", "Authority '%s' is not known here."},

	// The app.
	700016:  {badRequest, "unauthorized_client", "No application with identifier '%s' was found in the directory '%s'."},
	7000229: {unauthorized, "invalid_client", "Application '%s' has no service principal in the tenant '%s'."},

	// Secrets, and credentials in general.
	7000216: {unauthorized, "invalid_client", "A client_secret or a client_assertion is required for this grant."},
	7000215: {unauthorized, "invalid_client", "The client secret is not one of application '%s'. Is it the value of the secret, not its ID?"},
	7000222: {unauthorized, "invalid_client", "The client secret of application '%s' has expired."},

	// Assertions of any origin.
	50027:   {unauthorized, "invalid_client", "The client assertion is not a valid JWT: %s."},
	5002738: {unauthorized, "invalid_client", "The client assertion is signed with '%s'; supported here: %s."},
	700024:  {unauthorized, "invalid_client", "The client assertion is outside its time range: it is %s, valid from %s, until %s."},

	// Assertions an app signs itself.
	5002723: {unauthorized, "invalid_client", "The client assertion names no certificate: neither x5t nor x5t#S256 is in its header."},
	5002727: {badRequest, "invalid_request", "The client assertion has the type '%s', want JWT."},
	700021:  {unauthorized, "invalid_client", "The iss and sub of the client assertion must both be the client_id '%s'."},
	700023:  {unauthorized, "invalid_client", "The audience of the client assertion is '%s', want the token endpoint '%s'."},
	700027:  {unauthorized, "invalid_client", "The signature of the client assertion is invalid: %s. Application '%s'."},
	1000502: {unauthorized, "invalid_client", "The certificate of the client assertion is outside its validity, %s to %s."},

	// Assertions of outside issuers.
	70025:   {unauthorized, "invalid_client", "Application '%s' has no federated credential."},
	700211:  {unauthorized, "invalid_client", "No federated credential has the assertion's issuer '%s'."},
	700212:  {unauthorized, "invalid_client", "No federated credential has the assertion's audience '%s'."},
	700213:  {unauthorized, "invalid_client", "No federated credential has the assertion's subject '%s'."},
	7002138: {unauthorized, "invalid_client", "The assertion's subject '%s' differs from that of a federated credential in letter case only."},
	700222:  {unauthorized, "invalid_client", "An assertion issued by Entra itself, '%s', is not accepted here."},
	7000272: {unauthorized, "invalid_client", "No key of the assertion's issuer fits: %s (kid '%s')."},
	90061:   {badRequest, "invalid_request", "The metadata of the assertion's issuer '%s' could not be fetched."},

	// The scope.
	1002012: {badRequest, "invalid_scope", "Scope '%s' is not that of an app-only request; want one resource followed by /.default."},
	70011:   {badRequest, "invalid_scope", "Scope '%s' asks for more than one resource."},
	500011:  {badRequest, "invalid_resource", "No resource named '%s' was found in the tenant '%s'."},
}
