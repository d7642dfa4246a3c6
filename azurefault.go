// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/wire"
)

// An azureFault is what is known of an error of azidentity. That error itself is never
// wrapped or quoted: it holds the request, and with it the secret. And where there was
// no answer it holds no error beneath either, only a text.
type azureFault struct {
	err      error // for its type and what is typed beneath
	text     string
	status   int // of an answer; 0: none
	header   http.Header
	body     []byte
	endpoint string // of the managed identity; "" if it is another credential
}

// azureFailure makes an Error of what a TokenCredential returned. managed says that it
// is known to be a managed identity.
func azureFailure(err error, managed bool) *Error {
	if guarded, ok := errors.AsType[*flight.Error](err); ok {
		return unavailable(guarded)
	}
	f := azureFault{err: err, text: err.Error()}
	var host string
	if resp := azureResponse(err); resp != nil {
		f.status, f.header = resp.StatusCode, resp.Header
		if resp.Body != nil {
			// azcore has read it and left a copy that can be read again.
			f.body, _ = io.ReadAll(io.LimitReader(resp.Body, wire.MaxAnswer))
		}
		if resp.Request != nil && resp.Request.URL != nil {
			host = resp.Request.URL.Host
		}
	}
	// A chain has a line for each of its credentials.
	if _, line, ok := strings.Cut(f.text, "\tManagedIdentityCredential"); ok && f.status == 0 {
		line, _, _ = strings.Cut(line, "\n\t")
		f.text, managed = line, true
	}
	if managed || strings.HasPrefix(f.text, "ManagedIdentityCredential") {
		f.endpoint = "managed identity endpoint " + cmp.Or(host, managedEndpoint())
	}
	return f.judge()
}

func azureResponse(err error) *http.Response {
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		return failed.RawResponse
	}
	if failed, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return failed.RawResponse
	}
	return nil
}

// managedEndpoint returns the host that azidentity asks for a managed identity's
// token, by the same variables.
func managedEndpoint() string {
	for _, name := range []string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT"} {
		if u, err := url.Parse(os.Getenv(name)); err == nil && u.Host != "" {
			return u.Host
		}
	}
	return "169.254.169.254" // the Instance Metadata Service
}

// judge tells "could not ask" from "was refused".
func (f *azureFault) judge() *Error {
	const systemAssigned = "The endpoint responded with " // in place of the response itself
	switch _, quoted, ok := strings.Cut(f.text, systemAssigned); {
	case f.endpoint != "" && f.status == 0 && ok:
		f.status, f.body = http.StatusBadRequest, []byte(quoted)
		return f.refusedByEndpoint()
	case f.endpoint != "" && f.status != 0:
		return f.refusedByEndpoint()
	case f.status != 0:
		return classify(f.status, f.header, f.body, ErrOther)
	}
	e := unreachable(f.err)
	if e.cause == nil { // nothing of the network is left in it: the text has to do
		e = f.byText()
	}
	if f.endpoint != "" {
		e.reason = f.endpoint + ": " + e.reason
	}
	return e
}

// refusedByEndpoint judges an answer of a managed identity endpoint. It is not Entra's,
// but may hand on what Entra has said.
func (f *azureFault) refusedByEndpoint() *Error {
	e := classify(f.status, f.header, f.body, ErrCredentialUnavailable)
	e.HTTPStatus = 0 // of Entra
	if number := aadstsNumber.FindSubmatch(f.body); e.Code == 0 && number != nil {
		e.Code, _ = strconv.Atoi(string(number[1]))
	}
	known, handedOn := LookupAADSTS(e.Code)
	switch reason := knownReason(f.text); {
	case f.status == http.StatusTooManyRequests:
		e.Kind, e.reason = ErrThrottled, "answered "+strconv.Itoa(f.status)
	case handedOn:
		e.Kind, e.reason = known.Kind, "it hands on Entra's refusal"
	case f.passes():
		e.Kind, e.reason = ErrUnreachable, "answered "+strconv.Itoa(f.status)
	case reason != "":
		e.Kind, e.reason = ErrCredentialUnavailable, reason
	default:
		e.Kind, e.reason = ErrCredentialUnavailable, "answered "+strconv.Itoa(f.status)
	}
	e.reason = f.endpoint + ": " + e.reason
	return e
}

// aadstsNumber is in an answer wherever the endpoint puts Entra's words: App Service
// has no error_description.
var aadstsNumber = regexp.MustCompile(`AADSTS([0-9]{3,8})`)

// passes reports whether the endpoint's answer says nothing of the identity: those
// that IMDS asks to be repeated, and that of a proxy before it (Docker Desktop's has
// 403). See
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling.
func (f *azureFault) passes() bool {
	switch f.status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusGone:
		return true
	case http.StatusForbidden:
		return strings.Contains(string(f.body), "unreachable")
	}
	return f.status >= 500
}

// byText judges an error that is only a text, by the parts of it that are constants of
// azidentity and of net.
func (f *azureFault) byText() *Error {
	for _, n := range networkTexts {
		if strings.Contains(f.text, n.part) && (n.reason != foreignAnswer || f.endpoint != "") {
			return &Error{Kind: ErrUnreachable, reason: cmp.Or(n.reason, n.part), cause: n.cause}
		}
	}
	e := &Error{Kind: ErrCredentialUnavailable, reason: knownReason(f.text)}
	if e.reason == "" {
		e.reason = "the TokenCredential failed (" + reflect.TypeOf(f.err).String() + ")"
	}
	return e
}

// foreignAnswer is what a proxy in front of a managed identity's endpoint brings.
const foreignAnswer = "something else answered"

// networkTexts are how a request that brought no answer ends in a text.
var networkTexts = []struct {
	part, reason string
	cause        error
}{
	{"context deadline exceeded", "no answer in time", context.DeadlineExceeded},
	{"i/o timeout", "no answer in time", context.DeadlineExceeded},
	{"Client.Timeout", "no answer in time", context.DeadlineExceeded},
	{"TLS handshake timeout", "no answer in time", context.DeadlineExceeded},
	{"managed identity timed out", "no answer in time", context.DeadlineExceeded},
	{"context canceled", "canceled", context.Canceled},
	{"connection refused", "", syscall.ECONNREFUSED},
	{"connection reset by peer", "", syscall.ECONNRESET},
	{"broken pipe", "", syscall.EPIPE},
	{"no route to host", "", syscall.EHOSTUNREACH},
	{"network is unreachable", "", syscall.ENETUNREACH},
	{"host is down", "", syscall.EHOSTDOWN},
	{"no such host", "host name not found", nil},
	{"server misbehaving", "host name lookup failed", nil},
	{"tls: failed to verify certificate", "TLS: the server's certificate was not accepted", nil},
	{"tls: first record does not look like a TLS handshake", "TLS: the server does not speak TLS", nil},
	{"remote error: tls: ", "TLS failed", nil},
	{"proxyconnect", "the proxy did not let the connection through", nil},
	{"unexpected EOF", "connection closed", io.ErrUnexpectedEOF},
	{": EOF", "connection closed", io.ErrUnexpectedEOF},
	{"use of closed network connection", "connection closed", io.ErrUnexpectedEOF},
	{"unexpected response", foreignAnswer, nil},
	{"error parsing the json", foreignAnswer, nil},
	{"json decode error", foreignAnswer, nil},
}

// knownReason returns the part of an error's text that says what is wrong and is a
// constant of azidentity's, so that it holds nothing of the request. "" if there is
// none.
func knownReason(text string) string {
	for _, part := range azureReasons {
		if strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

var azureReasons = []string{
	"the requested identity isn't assigned to this resource",
	"failed to authenticate a system assigned identity",
	"azure arc did not confirm the requested user-assigned managed identity",
	"Cloud Shell doesn't support user-assigned managed identities",
	"Service Fabric API doesn't support specifying a user-assigned identity",
	"incomplete environment variable configuration. Only AZURE_TENANT_ID and AZURE_CLIENT_ID are set",
	"missing environment variable AZURE_TENANT_ID",
	"missing environment variable AZURE_CLIENT_ID",
	"no client ID specified. Check pod configuration or set ClientID in the options",
	"no token file specified. Check pod configuration or set TokenFilePath in the options",
	"no tenant ID specified. Check pod configuration or set TenantID in the options",
	"executable not found on path",
	"Please run 'az login' to set up an account",
	"Please run 'azd auth login'",
	"Please run \"Connect-AzAccount\" to set up an account",
	"can't acquire a token without user interaction",
	"the returned token has expired",
	"didn't find any certificate content",
	"found no private key",
	"found no certificate",
}
