// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// managed returns the official managed identity credential, which asks over client.
func managed(t *testing.T, client policy.Transporter, id azidentity.ManagedIDKind) azcore.TokenCredential {
	t.Helper()
	cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: -1}}, ID: id,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func askWith(t *testing.T, cred azcore.TokenCredential, scope string) *apponly.Error {
	t.Helper()
	c, err := apponly.FromTokenCredential(cred, &apponly.Options{Cache: apponly.NewCache(nil)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Token(t.Context(), scope)
	e := asError(t, err)
	checkLine(t, e)
	return e
}

func dialError(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}, Err: err}
	}
}

// What the official client says when IMDS is away, hands something on, or refuses.
func TestManagedIdentityFaults(t *testing.T) {
	const imds = "managed identity endpoint 169.254.169.254: "
	for name, test := range map[string]struct {
		fault func(*http.Request) (*http.Response, error)
		user  string // user-assigned identity; "": the system's
		kind  apponly.Kind
		text  string
		cause error
		code  int
	}{
		"refused connection":  {fault: dialError(syscall.ECONNREFUSED), kind: apponly.ErrUnreachable, text: imds + "connection refused", cause: syscall.ECONNREFUSED},
		"no route":            {fault: dialError(syscall.EHOSTUNREACH), kind: apponly.ErrUnreachable, text: imds + "no route to host", cause: syscall.EHOSTUNREACH},
		"no network":          {fault: dialError(syscall.ENETUNREACH), kind: apponly.ErrUnreachable, text: imds + "network is unreachable"},
		"a dial that hangs":   {fault: dialError(context.DeadlineExceeded), kind: apponly.ErrUnreachable, text: imds + "no answer in time", cause: context.DeadlineExceeded},
		"closed":              {fault: fails(io.EOF), kind: apponly.ErrUnreachable, text: imds + "connection closed"},
		"reset":               {fault: dialError(syscall.ECONNRESET), kind: apponly.ErrUnreachable, text: imds + "connection reset by peer"},
		"updating":            {fault: status(410, "gone"), kind: apponly.ErrUnreachable, text: imds + "answered 410"},
		"not yet there":       {fault: status(404, "{}"), kind: apponly.ErrUnreachable, text: imds + "answered 404"},
		"broken":              {fault: status(500, `{"error":"unknown"}`), kind: apponly.ErrUnreachable, text: imds + "answered 500"},
		"busy":                {fault: status(429, "{}", "Retry-After", "30"), kind: apponly.ErrThrottled, text: imds + "answered 429"},
		"broken, user":        {fault: status(503, ""), user: "x", kind: apponly.ErrUnreachable, text: imds + "answered 503"},
		"a proxy's page":      {fault: status(200, "<html>sign in</html>", "Content-Type", "text/html"), kind: apponly.ErrUnreachable, text: imds + "something else answered"},
		"Docker Desktop":      {fault: status(403, "connecting to 169.254.169.254:80: connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: A socket operation was attempted to an unreachable host."), kind: apponly.ErrUnreachable, text: imds},
		"forbidden":           {fault: status(403, "no"), kind: apponly.ErrCredentialUnavailable, text: imds + "answered 403"},
		"no such identity":    {user: "11111111-2222-3333-4444-555555555555", kind: apponly.ErrCredentialUnavailable, text: imds + "the requested identity isn't assigned to this resource"},
		"no identity at all":  {fault: status(400, `{"error":"invalid_request","error_description":"Identity not found"}`), kind: apponly.ErrCredentialUnavailable, text: imds + "failed to authenticate a system assigned identity"},
		"Entra's words":       {fault: status(400, `{"error":"invalid_resource","error_description":"AADSTS500011: The resource principal named x was not found."}`), kind: apponly.ErrResourceNotFound, text: imds + "it hands on Entra's refusal", code: 500011},
		"Entra's words, user": {fault: status(400, `{"error":"unauthorized_client","error_description":"AADSTS700016: Application not found."}`), user: "x", kind: apponly.ErrAppNotFound, text: imds + "it hands on", code: 700016},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSTS(t)
			s.Tenant().NewManagedIdentity()
			s.setFault(test.fault)
			var id azidentity.ManagedIDKind
			if test.user != "" {
				id = azidentity.ClientID(test.user)
			}
			e := askWith(t, managed(t, s.http, id), s.API().Scope())
			wantKind(t, e, test.kind, test.text)
			if strings.Contains(e.Error(), "could not answer properly") || e.HTTPStatus != 0 || e.Code != test.code {
				t.Errorf("status %d, code %d: %v", e.HTTPStatus, e.Code, e)
			}
			if test.cause != nil && !errors.Is(e, test.cause) {
				t.Errorf("%v is not %v", e, test.cause)
			}
			if test.kind == apponly.ErrThrottled && time.Until(e.RetryAt) < 20*time.Second {
				t.Errorf("retry at %v", e.RetryAt)
			}
			canaries{"api-version=", "http://"}.checkError(t, name, e)
		})
	}
}

// The endpoint of App Service is another one, and over real connections.
func TestManagedIdentityFaultsOnAppService(t *testing.T) {
	s := entratest.New(t)
	m := s.Tenant().NewManagedIdentity()
	site := func(endpoint, header string) (host string) {
		setEnv(t, "IDENTITY_ENDPOINT="+endpoint, "IDENTITY_HEADER="+header)
		host, _, _ = strings.Cut(strings.TrimPrefix(endpoint, "http://"), "/")
		return "managed identity endpoint " + host + ": "
	}
	endpoint, header := m.Env()["IDENTITY_ENDPOINT"], m.Env()["IDENTITY_HEADER"]
	user := azidentity.ClientID(m.ClientID())

	text := site(endpoint, "wrong-"+canarySecret)
	e := askWith(t, managed(t, nil, user), s.API().Scope())
	wantKind(t, e, apponly.ErrCredentialUnavailable, text+"answered 401")
	canaries{canarySecret}.checkError(t, "header", e)

	site(endpoint, header)
	wantKind(t, askWith(t, managed(t, nil, nil), s.API().Scope()), apponly.ErrCredentialUnavailable, text+"answered 400")
	e = askWith(t, managed(t, nil, user), "api://unknown/.default")
	wantKind(t, e, apponly.ErrResourceNotFound, text+"it hands on", "AADSTS500011")

	remove, err := s.AddFault(entratest.Fault{Endpoint: "imds", Status: 503})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, askWith(t, managed(t, nil, user), s.API().Scope()), apponly.ErrUnreachable, text+"answered 503")
	remove()
	if _, err := s.AddFault(entratest.Fault{Endpoint: "imds", Connection: "reset"}); err != nil {
		t.Fatal(err)
	}
	wantKind(t, askWith(t, managed(t, nil, user), s.API().Scope()), apponly.ErrUnreachable, text+"conn")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	text = site("http://"+l.Addr().String()+"/msi/token", "x")
	wantKind(t, askWith(t, managed(t, nil, user), s.API().Scope()), apponly.ErrUnreachable, text+"connection refused")
}

// Other credentials of azidentity: what they say of the environment, and of Entra.
func TestAzidentityReasons(t *testing.T) {
	setEnv(t)
	t.Setenv("PATH", t.TempDir())
	cli, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	const scope = "https://a.test/.default"
	e := askWith(t, cli, scope)
	wantKind(t, e, apponly.ErrCredentialUnavailable, "executable not found on path")

	s := newSTS(t)
	s.setFault(dialError(syscall.ECONNREFUSED))
	imds := managed(t, s.http, nil)
	chain, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{cli, imds}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, askWith(t, chain, scope), apponly.ErrUnreachable, "managed identity endpoint 169.254.169.254: connection refused")
	s.setFault(status(400, `{"error":"invalid_request","error_description":"Identity not found"}`))
	wantKind(t, askWith(t, chain, scope), apponly.ErrCredentialUnavailable, "managed identity endpoint 169.254.169.254: failed to authenticate a system assigned identity")
	chain, err = azidentity.NewChainedTokenCredential([]azcore.TokenCredential{cli, cli}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, askWith(t, chain, scope), apponly.ErrCredentialUnavailable, "executable not found on path")
	t.Setenv("AZURE_TENANT_ID", "")
	def, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: s.http, Retry: policy.RetryOptions{MaxRetries: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, askWith(t, def, scope), apponly.ErrCredentialUnavailable, "managed identity endpoint 169.254.169.254")
	s.setFault(dialError(syscall.ECONNREFUSED))

	secret, err := azidentity.NewClientSecretCredential(s.Tenant().ID(), s.App().ClientID(), canarySecret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: s.http, Retry: policy.RetryOptions{MaxRetries: -1}}, DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	e = askWith(t, secret, scope)
	wantKind(t, e, apponly.ErrUnreachable, "connection refused")
	canaries{canarySecret}.checkError(t, "secret", e)
	if strings.Contains(e.Error(), "managed identity") {
		t.Errorf("%v: names a managed identity", e)
	}
	s.setFault(status(503, "{}"))
	e = askWith(t, secret, scope)
	wantKind(t, e, apponly.ErrTransient)
}
