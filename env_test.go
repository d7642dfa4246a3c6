// SPDX-License-Identifier: MIT

package apponly_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// setEnv sets exactly these variables, "NAME=value", of those FromEnv reads.
func setEnv(t *testing.T, vars ...string) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"AZURE", "APPONLY_", "MSAL_", "IDENTITY_", "MSI_", "ACTIONS_ID_", "SYSTEM_", "GCE_", "ENTRA_ID_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "")
			}
		}
	}
	for _, kv := range vars {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
}

func TestFromEnv(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "file"), []byte("x"))
	gone := filepath.Join(dir, "gone")
	const (
		tenant = "AZURE_TENANT_ID=" + someTenant
		client = "AZURE_CLIENT_ID=" + someClient
		secret = "AZURE_CLIENT_SECRET=Kq8~value-of-the-secret"
	)
	secretFile, cert, token := "APPONLY_CLIENT_SECRET_FILE="+file, "AZURE_CLIENT_CERTIFICATE_PATH="+file, "AZURE_FEDERATED_TOKEN_FILE="+file
	list := func(s ...string) []string { return s }
	for _, test := range []struct {
		name    string
		env     []string
		kind    string
		reason  string
		ignored string   // joined by spaces
		errs    []string // what the error of both names; none: no error
	}{
		{"nothing", nil, "", "", "", list("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "azure.workload.identity/use", "APPONLY_CREDENTIAL=managed-identity")},
		{"secret", list(tenant, client, secret), "secret", "AZURE_CLIENT_SECRET is set", "", nil},
		{"secret file", list(tenant, client, secretFile), "secret", "APPONLY_CLIENT_SECRET_FILE is set", "", nil},
		{"secret and its file", list(tenant, client, secret, secretFile), "secret", "AZURE_CLIENT_SECRET is set", "", list("both AZURE_CLIENT_SECRET and APPONLY_CLIENT_SECRET_FILE are set")},
		{"certificate", list(tenant, client, cert), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", nil},
		{"certificate with chain", list(tenant, client, cert, "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN=1"), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", nil},
		{"certificate with password", list(tenant, client, cert, "AZURE_CLIENT_CERTIFICATE_PASSWORD=value-of-the-secret"), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", nil},
		{"certificate with blank password", list(tenant, client, cert, "AZURE_CLIENT_CERTIFICATE_PASSWORD= "), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", nil},
		{"secret and a password", list(tenant, client, secret, "AZURE_CLIENT_CERTIFICATE_PASSWORD=value-of-the-secret"), "secret", "AZURE_CLIENT_SECRET is set", "AZURE_CLIENT_CERTIFICATE_PASSWORD", nil},
		{"certificate with TRUE", list(tenant, client, cert, "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN=TRUE"), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", nil},
		{"certificate with what", list(tenant, client, cert, "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN=what"), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", list("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN is neither")},
		{"certificate and key", list(tenant, client, cert, "APPONLY_CLIENT_CERTIFICATE_KEY_PATH="+file), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", nil},
		{"certificate with password file", list(tenant, client, cert, "APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE="+file), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", nil},
		{"certificate with two passwords", list(tenant, client, cert, "APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE="+file, "AZURE_CLIENT_CERTIFICATE_PASSWORD=value-of-the-secret"), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "", list("both AZURE_CLIENT_CERTIFICATE_PASSWORD and APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE are set")},
		{"two secrets, asked for", list(tenant, client, secret, secretFile, "APPONLY_CREDENTIAL=secret"), "secret", "APPONLY_CREDENTIAL", "", list("both AZURE_CLIENT_SECRET and APPONLY_CLIENT_SECRET_FILE are set")},
		{"two secrets, of which none is asked for", list(tenant, client, secret, secretFile, token, "APPONLY_CREDENTIAL=federated"), "federated", "APPONLY_CREDENTIAL", "AZURE_CLIENT_SECRET APPONLY_CLIENT_SECRET_FILE", nil},
		{"federated", list(tenant, client, token), "federated", "AZURE_FEDERATED_TOKEN_FILE is set", "", nil},
		// Everything the webhook injects, next to a secret that was left behind.
		{"secret before federated", list(tenant, client, secret, token), "secret", "AZURE_CLIENT_SECRET is set", "AZURE_FEDERATED_TOKEN_FILE", nil},
		{"secret before certificate", list(tenant, client, secret, cert), "secret", "AZURE_CLIENT_SECRET is set", "AZURE_CLIENT_CERTIFICATE_PATH", nil},
		{"certificate before federated", list(tenant, client, cert, token), "certificate", "AZURE_CLIENT_CERTIFICATE_PATH is set", "AZURE_FEDERATED_TOKEN_FILE", nil},
		{"all", list(tenant, client, secret, secretFile, cert, token), "secret", "AZURE_CLIENT_SECRET is set", "AZURE_CLIENT_CERTIFICATE_PATH AZURE_FEDERATED_TOKEN_FILE", list("both AZURE_CLIENT_SECRET and APPONLY_CLIENT_SECRET_FILE are set")},
		{"empty is unset", list(tenant, client, "AZURE_CLIENT_SECRET=", "AZURE_CLIENT_CERTIFICATE_PATH=", token), "federated", "AZURE_FEDERATED_TOKEN_FILE is set", "", nil},
		{"blank is unset", list(tenant, client, "AZURE_CLIENT_SECRET= \n", token), "federated", "AZURE_FEDERATED_TOKEN_FILE is set", "", nil},
		{"heredoc", list(tenant+"\n", client+" ", secret+"\n"), "secret", "AZURE_CLIENT_SECRET is set", "", nil},

		{"asked for secret", list(tenant, client, secret, token, "APPONLY_CREDENTIAL=secret"), "secret", "APPONLY_CREDENTIAL", "AZURE_FEDERATED_TOKEN_FILE", nil},
		{"asked for a secret file", list(tenant, client, secretFile, token, "APPONLY_CREDENTIAL=secret"), "secret", "APPONLY_CREDENTIAL", "AZURE_FEDERATED_TOKEN_FILE", nil},
		{"asked for certificate", list(tenant, client, secret, cert, "APPONLY_CREDENTIAL=certificate"), "certificate", "APPONLY_CREDENTIAL", "AZURE_CLIENT_SECRET", nil},
		{"asked for federated", list(tenant, client, secret, token, "APPONLY_CREDENTIAL=federated"), "federated", "APPONLY_CREDENTIAL", "AZURE_CLIENT_SECRET", nil},
		{"asked for what is not there", list(tenant, client, secret, "APPONLY_CREDENTIAL=federated"), "federated", "APPONLY_CREDENTIAL", "AZURE_CLIENT_SECRET", list("APPONLY_CREDENTIAL", "AZURE_FEDERATED_TOKEN_FILE is not set")},
		{"asked for a certificate that is not there", list(tenant, client, "APPONLY_CREDENTIAL=certificate"), "certificate", "APPONLY_CREDENTIAL", "", list("AZURE_CLIENT_CERTIFICATE_PATH is not set")},
		{"asked for a secret that is not there", list(tenant, client, "APPONLY_CREDENTIAL=secret"), "secret", "APPONLY_CREDENTIAL", "", list("neither AZURE_CLIENT_SECRET nor APPONLY_CLIENT_SECRET_FILE")},
		{"asked for something else", list(tenant, client, secret, "APPONLY_CREDENTIAL=cli"), "", "", "AZURE_CLIENT_SECRET", list("APPONLY_CREDENTIAL", `"cli"`, "managed-identity")},
		{"the first decides", list(tenant, client, secret, token, "APPONLY_CREDENTIAL=federated", "AZURE_TOKEN_CREDENTIALS=EnvironmentCredential"), "federated", "APPONLY_CREDENTIAL", "AZURE_TOKEN_CREDENTIALS AZURE_CLIENT_SECRET", nil},

		{"Azure's secret", list(tenant, client, secret, token, "AZURE_TOKEN_CREDENTIALS=EnvironmentCredential"), "secret", "AZURE_TOKEN_CREDENTIALS and AZURE_CLIENT_SECRET is set", "AZURE_FEDERATED_TOKEN_FILE", nil},
		{"Azure's certificate", list(tenant, client, cert, token, "AZURE_TOKEN_CREDENTIALS=environmentcredential"), "certificate", "AZURE_TOKEN_CREDENTIALS and AZURE_CLIENT_CERTIFICATE_PATH is set", "AZURE_FEDERATED_TOKEN_FILE", nil},
		{"Azure's environment without any", list(tenant, client, token, "AZURE_TOKEN_CREDENTIALS=EnvironmentCredential"), "", "", "AZURE_FEDERATED_TOKEN_FILE", list("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")},
		{"Azure's workload identity", list(tenant, client, secret, token, "AZURE_TOKEN_CREDENTIALS=WORKLOADIDENTITYCREDENTIAL"), "federated", "AZURE_TOKEN_CREDENTIALS", "AZURE_CLIENT_SECRET", nil},
		{"Azure's managed identity", list(tenant, client, secret, "AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential"), "managed-identity", "AZURE_TOKEN_CREDENTIALS", "AZURE_TENANT_ID AZURE_CLIENT_SECRET", nil},
		{"Azure's prod", list(tenant, client, token, "AZURE_TOKEN_CREDENTIALS=Prod"), "federated", "AZURE_FEDERATED_TOKEN_FILE is set", "", nil},
		{"Azure's dev", list(tenant, client, token, "AZURE_TOKEN_CREDENTIALS=dev"), "", "", "AZURE_FEDERATED_TOKEN_FILE", list("AZURE_TOKEN_CREDENTIALS", `"dev"`)},
		{"Azure's CLI", list(tenant, client, token, "AZURE_TOKEN_CREDENTIALS=AzureCLICredential"), "", "", "AZURE_FEDERATED_TOKEN_FILE", list(`"AzureCLICredential"`)},

		{"managed identity", list("APPONLY_CREDENTIAL=managed-identity"), "managed-identity", "APPONLY_CREDENTIAL", "", nil},
		{"managed identity of a user", list(client, "APPONLY_CREDENTIAL=managed-identity"), "managed-identity", "APPONLY_CREDENTIAL", "", nil},
		// Never a fallback: a pod whose webhook failed must not become the node.
		{"no fallback", list(tenant, client), "", "", "", list("no credential in the environment")},

		{"no tenant", list(client, token), "federated", "AZURE_FEDERATED_TOKEN_FILE is set", "", list("AZURE_TENANT_ID is not set", "azure.workload.identity/use")},
		{"no client", list(tenant, token), "federated", "AZURE_FEDERATED_TOKEN_FILE is set", "", list("AZURE_CLIENT_ID is not set", "azure.workload.identity/client-id")},
		{"neither", list(secret), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_TENANT_ID is not set", "AZURE_CLIENT_ID is not set")},
		{"bad tenant", list("AZURE_TENANT_ID=undefined", client, secret), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_TENANT_ID: tenant ID", "undefined")},
		{"common", list("AZURE_TENANT_ID=common", client, secret), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_TENANT_ID", "needs one tenant")},
		{"bad client and no tenant", list("AZURE_CLIENT_ID=my-app", secret), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_TENANT_ID is not set", "AZURE_CLIENT_ID: client ID")},
		{"bad secret", list(tenant, client, "AZURE_CLIENT_SECRET=a\nb"), "secret", "AZURE_CLIENT_SECRET is set", "", list("line breaks")},

		{"known authority", list(tenant, client, secret, "AZURE_AUTHORITY_HOST=https://login.microsoftonline.us/"), "secret", "AZURE_CLIENT_SECRET is set", "", nil},
		{"alias", list(tenant, client, secret, "AZURE_AUTHORITY_HOST=login.windows.net"), "secret", "AZURE_CLIENT_SECRET is set", "", nil},
		{"unknown authority", list(tenant, client, secret, "AZURE_AUTHORITY_HOST=https://login.example.test"), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_AUTHORITY_HOST", "login.example.test", "APPONLY_TRUST_AUTHORITY_HOST=1")},
		{"distrusted authority", list(tenant, client, secret, "AZURE_AUTHORITY_HOST=https://login.example.test", "APPONLY_TRUST_AUTHORITY_HOST=0"), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_AUTHORITY_HOST")},
		{"trusted authority", list(tenant, client, secret, "AZURE_AUTHORITY_HOST=https://login.example.test:8443", "APPONLY_TRUST_AUTHORITY_HOST=1"), "secret", "AZURE_CLIENT_SECRET is set", "", nil},
		{"trusted without scheme", list(tenant, client, secret, "AZURE_AUTHORITY_HOST=login.example.test", "APPONLY_TRUST_AUTHORITY_HOST=true"), "secret", "AZURE_CLIENT_SECRET is set", "", nil},
		{"trusted without TLS", list(tenant, client, secret, "AZURE_AUTHORITY_HOST=http://login.example.test", "APPONLY_TRUST_AUTHORITY_HOST=1"), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_AUTHORITY_HOST", "https")},
		{"trust without an authority", list(tenant, client, secret, "APPONLY_TRUST_AUTHORITY_HOST=1"), "secret", "AZURE_CLIENT_SECRET is set", "APPONLY_TRUST_AUTHORITY_HOST", nil},
		{"allowed tenants", list(tenant, client, secret, "AZURE_ADDITIONALLY_ALLOWED_TENANTS=*; contoso.com;"), "secret", "AZURE_CLIENT_SECRET is set", "", nil},
		{"bad allowed tenants", list(tenant, client, secret, "AZURE_ADDITIONALLY_ALLOWED_TENANTS=contoso.com,fabrikam.com"), "secret", "AZURE_CLIENT_SECRET is set", "", list("AZURE_ADDITIONALLY_ALLOWED_TENANTS")},
		{"region", list(tenant, client, secret, "AZURE_REGIONAL_AUTHORITY_NAME=westeurope"), "secret", "AZURE_CLIENT_SECRET is set", "AZURE_REGIONAL_AUTHORITY_NAME", nil},
		{"roots", list(tenant, client, secret, "APPONLY_CA_FILE="+file), "secret", "AZURE_CLIENT_SECRET is set", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.env...)
			e := apponly.ExplainEnv(nil)
			if e.Credential != test.kind || e.Reason != test.reason || strings.Join(e.Ignored, " ") != test.ignored {
				t.Errorf("explained as %q because %q, ignored %q\nwant %q because %q, ignored %q", e.Credential, e.Reason, e.Ignored, test.kind, test.reason, test.ignored)
			}
			c, err := apponly.FromEnv(nil)
			if (err == nil) != (len(test.errs) == 0) || (c == nil) != (err != nil) {
				t.Errorf("FromEnv: %v, %v; want an error that names %q", c, err, test.errs)
			}
			if fmt.Sprint(err) != fmt.Sprint(e.Err) {
				t.Errorf("FromEnv fails with %v, explained as %v", err, e.Err)
			}
			for _, part := range test.errs {
				if err != nil && !strings.Contains(err.Error(), part) {
					t.Errorf("error does not name %s:\n%v", part, err)
				}
			}
			for line := range strings.SplitSeq(fmt.Sprint(err), "\n") {
				if err != nil && (!strings.HasPrefix(line, "apponly: ") || strings.Count(line, "apponly: ") != 1) {
					t.Errorf("clumsy line: %q", line)
				}
			}
			for _, kv := range test.env {
				name, value, _ := strings.Cut(kv, "=")
				set := strings.TrimSpace(value) != ""
				if listed := slices.Contains(e.Used, name) || slices.Contains(e.Ignored, name); listed != set {
					t.Errorf("%s is listed: %t, want %t", name, listed, set)
				}
				if strings.Contains(fmt.Sprintf("%+v %v %s", e, err, e), "value-of-the-secret") {
					t.Error("the explanation holds the secret")
				}
			}
		})
	}

	// A file that is named and not there is a fault to explain, and none for
	// FromEnv, which performs no I/O: it may be mounted later.
	for _, name := range []string{"APPONLY_CLIENT_SECRET_FILE", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"} {
		t.Run("missing "+name, func(t *testing.T) {
			setEnv(t, tenant, client, name+"="+gone)
			if _, err := apponly.FromEnv(nil); err != nil {
				t.Errorf("FromEnv: %v", err)
			}
			e := apponly.ExplainEnv(nil)
			wantKind(t, e.Err, apponly.ErrCredentialUnavailable, name)
			if strings.Contains(e.String(), gone) {
				t.Errorf("an explanation holds no values: %s", e)
			}
			if !errors.Is(e.Err, os.ErrNotExist) {
				t.Errorf("error = %v, is not os.ErrNotExist", e.Err)
			}
			if text := e.String(); !strings.Contains(text, "used: ") || !strings.Contains(text, "error: apponly: "+name) {
				t.Errorf("String() = %s", text)
			}
		})
	}
}

// envOf returns the variables that lead to s, over TLS.
func envOf(t *testing.T, s *entratest.Server) []string {
	authority, _ := s.StartTLS()
	ca := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), s.CAPEM())
	return []string{
		"AZURE_TENANT_ID=" + s.Tenant().ID(), "AZURE_CLIENT_ID=" + s.App().ClientID(), "AZURE_AUTHORITY_HOST=" + authority,
		"APPONLY_TRUST_AUTHORITY_HOST=1", "APPONLY_CA_FILE=" + ca,
	}
}

func TestFromEnvGetsTokens(t *testing.T) {
	s := entratest.New(t)
	env := envOf(t, s)
	dir := t.TempDir()
	for _, test := range []struct {
		credential string
		method     string
	}{
		{"AZURE_CLIENT_SECRET=" + s.Secret(), "secret"},
		{"APPONLY_CLIENT_SECRET_FILE=" + writeFile(t, filepath.Join(dir, "secret"), []byte(s.Secret()+"\n")), "secret"},
		{"AZURE_CLIENT_CERTIFICATE_PATH=" + writeFile(t, filepath.Join(dir, "cert.pem"), s.Certificate().PEM()), "certificate"},
		{"AZURE_FEDERATED_TOKEN_FILE=" + writeFile(t, filepath.Join(dir, "token"), []byte(s.FederatedToken())), "federated"},
	} {
		setEnv(t, append(env, test.credential)...)
		before := len(s.Requests())
		for range 2 { // clients of one environment share their tokens
			c, err := apponly.FromEnv(nil)
			if err != nil {
				t.Fatal(err)
			}
			mustToken(t, c, s.API().Scope())
		}
		sent := s.Requests()[before:]
		if len(sent) != 1 || sent[0].AuthMethod != test.method {
			t.Errorf("%s: requests = %+v, want one by %s", test.credential[:20], sent, test.method)
		}
	}
}

func TestOptionsWinOverEnv(t *testing.T) {
	s := newSTS(t)
	setEnv(t, "AZURE_TENANT_ID="+s.Tenant().ID(), "AZURE_CLIENT_ID="+s.App().ClientID(), "AZURE_CLIENT_SECRET="+s.Secret(),
		"AZURE_AUTHORITY_HOST=https://not-asked.example.test", "APPONLY_CA_FILE=/not/read", "AZURE_ADDITIONALLY_ALLOWED_TENANTS=*")
	o := s.options()
	o.AllowedTenants = []string{"contoso.com"}
	c, err := apponly.FromEnv(o)
	if err != nil {
		t.Fatal(err)
	}
	mustToken(t, c, s.API().Scope())
	_, err = c.Tenant(someTenant)
	wantKind(t, err, apponly.ErrTenantNotAllowed)
	e := apponly.ExplainEnv(o)
	if want := "AZURE_AUTHORITY_HOST AZURE_ADDITIONALLY_ALLOWED_TENANTS APPONLY_CA_FILE"; strings.Join(e.Ignored, " ") != want || e.Err != nil {
		t.Errorf("ignored %q, %v; want %s", e.Ignored, e.Err, want)
	}
	if len(o.AllowedTenants) != 1 || o.Cloud != s.Cloud() {
		t.Error("FromEnv has changed the options")
	}

	// A managed identity knows its own cloud.
	setEnv(t, "APPONLY_CREDENTIAL=managed-identity")
	if _, err := apponly.FromEnv(&apponly.Options{Cloud: cloud.China}); err == nil || !strings.Contains(err.Error(), "Options.Cloud") {
		t.Errorf("error = %v, want one about Options.Cloud", err)
	}
}
