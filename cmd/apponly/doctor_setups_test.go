// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"os"
	"time"

	"github.com/apponly/apponly/entratest"
)

const nobody = "99999999-9999-4999-8999-999999999999"

// planted sets a variable.
func planted(name, value string) func(*clinic) { return func(c *clinic) { c.set(name, value) } }
func missing(name string) func(*clinic)        { return func(c *clinic) { c.unset(name) } }

// content writes the file that a variable names anew.
func content(name, text string) func(*clinic) {
	return func(c *clinic) { c.set(name, c.write("planted", []byte(text))) }
}

var environmentSetUps = []setUp{
	{"no credential", "secret", missing("AZURE_CLIENT_SECRET"), "environment", "credential_missing", "no credential", ""},
	{"no tenant", "secret", missing("AZURE_TENANT_ID"), "environment", "configuration", "AZURE_TENANT_ID is not set", ""},
	{"no client ID", "certificate", missing("AZURE_CLIENT_ID"), "environment", "configuration", "AZURE_CLIENT_ID is not set", ""},
	{"unknown kind", "secret", planted("APPONLY_CREDENTIAL", "password"), "environment", "credential_missing", `"password"`, ""},
	{"kind without its variable", "secret", planted("APPONLY_CREDENTIAL", "certificate"), "environment", "credential_missing", "AZURE_CLIENT_CERTIFICATE_PATH is not set", ""},
	{"unknown kind of azidentity's", "secret", planted("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential"), "environment", "credential_missing", "AZURE_TOKEN_CREDENTIALS", ""},
	{"tenant in quotes", "secret", func(c *clinic) { c.set("AZURE_TENANT_ID", `"`+c.env["AZURE_TENANT_ID"]+`"`) }, "environment", "configuration", "AZURE_TENANT_ID is in quotes", ""},
	{"client ID in quotes", "secret", func(c *clinic) { c.set("AZURE_CLIENT_ID", `'`+c.env["AZURE_CLIENT_ID"]+`'`) }, "environment", "configuration", "AZURE_CLIENT_ID is in quotes", ""},
	{"path in quotes", "certificate", func(c *clinic) {
		c.set("AZURE_CLIENT_CERTIFICATE_PATH", `"`+c.env["AZURE_CLIENT_CERTIFICATE_PATH"]+`"`)
	}, "environment", "configuration", "AZURE_CLIENT_CERTIFICATE_PATH is in quotes", ""},
	{"unknown authority host", "secret", missing("APPONLY_TRUST_AUTHORITY_HOST"), "environment", "authority_invalid", "not a known Entra cloud", ""},
	{"authority without TLS", "secret", planted("AZURE_AUTHORITY_HOST", "http://127.0.0.1:80"), "environment", "authority_invalid", "scheme must be https", ""},
	{"authority with a tenant", "secret", func(c *clinic) { c.set("AZURE_AUTHORITY_HOST", c.env["AZURE_AUTHORITY_HOST"]+"/tenant") }, "environment", "authority_invalid", "nothing behind it", ""},
	{"trust that is no boolean", "secret", planted("APPONLY_TRUST_AUTHORITY_HOST", "please"), "environment", "authority_invalid", "neither true nor false", ""},
	{"secret in place of its path", "secret file", func(c *clinic) { c.set("APPONLY_CLIENT_SECRET_FILE", c.sts.Secret()) }, "environment", "credential_unavailable", "not the path of a file", ""},
	{"chain that is no boolean", "certificate", planted("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "leaf"), "environment", "configuration", "neither true nor false", ""},
	{"assertion in no variable", "assertion-env", missing("CI_TOKEN"), "environment", "credential_missing", "CI_TOKEN is not set", ""},
	{"no name of the assertion's variable", "assertion-env", missing("APPONLY_ASSERTION_ENV"), "environment", "credential_missing", "APPONLY_ASSERTION_ENV is not set", ""},
	{"job without id-token: write", "github-actions", missing("ACTIONS_ID_TOKEN_REQUEST_URL"), "environment", "credential_missing", "id-token: write", ""},
	{"step without a service connection", "azure-pipelines", missing("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"), "environment", "credential_missing", "service connection", ""},
	{"binding with two sources of roots", "identity binding", func(c *clinic) { c.set("AZURE_KUBERNETES_CA_FILE", c.write("roots.pem", c.binds.CAPEM())) }, "environment", "configuration", "both AZURE_KUBERNETES_CA_FILE and", ""},
	{"binding without a proxy", "identity binding", missing("AZURE_KUBERNETES_TOKEN_PROXY"), "environment", "configuration", "without AZURE_KUBERNETES_TOKEN_PROXY", ""},
	{"two credentials", "secret", func(c *clinic) {
		c.set("AZURE_CLIENT_CERTIFICATE_PATH", c.write("client.pem", c.hideKey(c.sts.Certificate().PEM())))
	}, "", "", "passed over: AZURE_CLIENT_CERTIFICATE_PATH", "environment"},
}

var identifierSetUps = []setUp{
	{"tenant cut off", "secret", func(c *clinic) { c.set("AZURE_TENANT_ID", c.env["AZURE_TENANT_ID"][1:]) }, "identifiers", "tenant_not_found", "neither a GUID nor a domain name", ""},
	{"tenant common", "secret", planted("AZURE_TENANT_ID", "common"), "identifiers", "authority_invalid", "stands for any tenant", ""},
	{"tenant not substituted", "secret", planted("AZURE_TENANT_ID", "$(TENANT_ID)"), "identifiers", "tenant_not_found", "$(TENANT_ID)", ""},
	{"name in place of the client ID", "secret", planted("AZURE_CLIENT_ID", "worker"), "identifiers", "app_not_found", `"worker" is not a GUID`, ""},
	{"secret in place of the client ID", "secret", func(c *clinic) { c.set("AZURE_CLIENT_ID", c.sts.Secret()) }, "identifiers", "app_not_found", "is not a GUID", ""},
	{"other tenant that is none", "secret", planted("AZURE_ADDITIONALLY_ALLOWED_TENANTS", "contoso"), "identifiers", "tenant_not_found", "AZURE_ADDITIONALLY_ALLOWED_TENANTS", ""},
	{"scope without /.default", "secret", func(c *clinic) { c.scope = "https://graph.microsoft.com/User.Read" }, "identifiers", "scope_invalid", "followed by /.default", ""},
	{"two scopes", "managed-identity", func(c *clinic) { c.scope += " openid" }, "identifiers", "scope_invalid", "exactly one scope", ""},
	{"managed identity by its name", "managed-identity", planted("AZURE_CLIENT_ID", "worker"), "identifiers", "app_not_found", "is not a GUID", ""},
}

var credentialSetUps = []setUp{
	{"secret in quotes", "secret", func(c *clinic) { c.set("AZURE_CLIENT_SECRET", `"`+c.sts.Secret()+`"`) }, "credential", "credential_missing", "is in quotes", ""},
	{"secret with its name", "secret", func(c *clinic) { c.set("AZURE_CLIENT_SECRET", "CLIENT_SECRET="+c.sts.Secret()) }, "credential", "credential_missing", "NAME=value", ""},
	{"secret twice", "secret", func(c *clinic) { c.set("APPONLY_CLIENT_SECRET_FILE", c.write("secret", []byte(c.sts.Secret()))) }, "credential", "configuration", "both AZURE_CLIENT_SECRET and APPONLY_CLIENT_SECRET_FILE", ""},
	{"secret file missing", "secret file", func(c *clinic) { c.set("APPONLY_CLIENT_SECRET_FILE", c.path("nowhere/secret")) }, "credential", "credential_unavailable", "no such file", ""},
	{"secret file is a directory", "secret file", func(c *clinic) { c.set("APPONLY_CLIENT_SECRET_FILE", c.dir) }, "credential", "credential_unavailable", "is a directory", ""},
	{"secret file empty", "secret file", content("APPONLY_CLIENT_SECRET_FILE", ""), "credential", "credential_unavailable", "is empty", ""},
	{"secret file in quotes", "secret file", func(c *clinic) { c.write("secret", []byte(`"`+c.sts.Secret()+`"`)) }, "credential", "credential_unavailable", "is in quotes", ""},
	{"secret file in UTF-16", "secret file", func(c *clinic) { c.write("secret", []byte("\xff\xfeS\x00e\x00c\x00r\x00e\x00t\x00")) }, "credential", "credential_unavailable", "UTF-16", ""},
	{"secret file with a mark", "secret file", func(c *clinic) { c.write("secret", []byte("\ufeff"+c.sts.Secret())) }, "", "", "byte order mark", "credential"},
	{"ID of the secret", "secret", planted("AZURE_CLIENT_SECRET", nobody), "token", "secret_invalid", "AADSTS7000215", "credential"},
	{"secret in base64", "secret", func(c *clinic) {
		c.set("AZURE_CLIENT_SECRET", c.hide(base64.StdEncoding.EncodeToString([]byte(c.sts.Secret()))))
	}, "token", "secret_invalid", "base64", "credential"},
}

var certificateSetUps = []setUp{
	{"file missing", "certificate", func(c *clinic) { c.set("AZURE_CLIENT_CERTIFICATE_PATH", c.path("gone.pem")) }, "credential", "credential_unavailable", "no such file", ""},
	{"file damaged", "certificate", content("AZURE_CLIENT_CERTIFICATE_PATH", "no certificate"), "credential", "credential_unavailable", "neither PEM nor PKCS#12", ""},
	{"no key", "certificate", func(c *clinic) { c.write("client.pem", c.sts.Certificate().CertPEM()) }, "credential", "credential_unavailable", "no private key", ""},
	{"no certificate", "certificate", func(c *clinic) { c.write("client.pem", c.sts.Certificate().KeyPEM()) }, "credential", "credential_unavailable", "no certificate", ""},
	{"key of another certificate", "certificate and key", func(c *clinic) {
		other := c.sts.App().NewCertificate(c.sts.Now(), c.sts.Now().Add(time.Hour))
		c.write("client.key", c.hideKey(other.KeyPEM()))
	}, "credential", "credential_unavailable", "belongs to none of the certificates", ""},
	{"key file missing", "certificate and key", func(c *clinic) { c.set("APPONLY_CLIENT_CERTIFICATE_KEY_PATH", c.path("gone.key")) }, "credential", "credential_unavailable", "no such file", ""},
	{"key not RSA", "certificate and key", func(c *clinic) { c.write("client.key", fixture(c.T, "ec-pkcs8.pem")) }, "credential", "credential_unavailable", "elliptic curve", ""},
	{"directory without tls.crt", "directory", func(c *clinic) { c.set("AZURE_CLIENT_CERTIFICATE_PATH", c.dir) }, "credential", "credential_unavailable", "no tls.crt", ""},
	{"wrong password", "pfx", func(c *clinic) { c.set("AZURE_CLIENT_CERTIFICATE_PASSWORD", c.hide("wrong-password")) }, "credential", "credential_unavailable", "wrong password", ""},
	{"no password", "pfx", missing("AZURE_CLIENT_CERTIFICATE_PASSWORD"), "credential", "credential_unavailable", "no password was given", ""},
	{"password twice", "pfx", func(c *clinic) {
		c.set("APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE", c.write("password", []byte(c.env["AZURE_CLIENT_CERTIFICATE_PASSWORD"])))
	}, "credential", "configuration", "both AZURE_CLIENT_CERTIFICATE_PASSWORD and", ""},
	{"expired", "certificate", dated(-48*time.Hour, -24*time.Hour), "credential", "certificate_expired", "expired on", ""},
	{"not valid yet", "certificate", dated(24*time.Hour, 48*time.Hour), "credential", "certificate_expired", "not valid before", ""},
	{"ends in a week", "certificate", dated(-24*time.Hour, 7*24*time.Hour), "", "", "expires in 6 days", "credential"},
	{"not registered", "certificate", func(c *clinic) { c.sts.App().RemoveCertificate(c.sts.Certificate().Leaf) }, "token", "certificate_invalid", "AADSTS700027", ""},
}

// dated deploys and registers a certificate with these times from now.
func dated(begins, ends time.Duration) func(*clinic) {
	return func(c *clinic) {
		now := c.sts.Now()
		c.write("client.pem", c.hideKey(c.sts.App().NewCertificate(now.Add(begins), now.Add(ends)).PEM()))
	}
}

var assertionSetUps = []setUp{
	{"file missing", "federated", func(c *clinic) { c.set("AZURE_FEDERATED_TOKEN_FILE", c.path("nowhere/token")) }, "credential", "credential_unavailable", "no such file", ""},
	{"file may not be read", "federated", func(c *clinic) {
		if os.Getuid() == 0 {
			c.Skip("root may read everything")
		}
		if err := os.Chmod(c.path("token"), 0); err != nil {
			c.Fatal(err)
		}
	}, "credential", "credential_unavailable", "permission denied", ""},
	{"file that leads to itself", "federated", func(c *clinic) {
		if err := os.Symlink(c.path("circle"), c.path("circle")); err != nil {
			c.Fatal(err)
		}
		c.set("AZURE_FEDERATED_TOKEN_FILE", c.path("circle"))
	}, "credential", "credential_unavailable", "too many levels of symbolic links", ""},
	{"file whose reading fails", "federated", func(c *clinic) { c.set("AZURE_FEDERATED_TOKEN_FILE", "/proc/self/mem") }, "credential", "credential_unavailable", "input/output error", ""},
	{"file empty", "federated", content("AZURE_FEDERATED_TOKEN_FILE", "\n"), "credential", "credential_unavailable", "is empty", ""},
	{"two parts", "federated", func(c *clinic) { c.write("token", []byte("eyJhbGciOiJSUzI1NiJ9.e30")) }, "credential", "credential_unavailable", "three parts", ""},
	{"JSON around it", "federated", func(c *clinic) { c.write("token", []byte(`{"value":"`+c.sts.FederatedToken()+`"}`)) }, "credential", "credential_unavailable", "is JSON", ""},
	{"expired", "federated", func(c *clinic) {
		c.write("token", []byte(c.hide(c.assertion(entratest.Claims{NotBefore: c.sts.Now().Add(-2 * time.Hour), ExpiresAt: c.sts.Now().Add(-time.Hour)}))))
	}, "credential", "assertion_expired", "has expired", ""},
	{"no subject", "federated", func(c *clinic) {
		c.write("token", []byte(c.sts.Sign(nil, map[string]any{"iss": "https://issuer.test", "aud": "api://AzureADTokenExchange", "exp": 4e9}, nil)))
	}, "credential", "assertion_invalid", "has no sub", ""},
	{"no expiry, no issuer", "federated", func(c *clinic) {
		c.write("token", []byte(c.sts.Sign(nil, map[string]any{"sub": "worker", "aud": "api://AzureADTokenExchange"}, nil)))
	}, "credential", "assertion_invalid", "has no iss, no exp", ""},
	{"for the proxy of a cluster", "federated", func(c *clinic) {
		c.write("token", []byte(c.hide(c.assertion(entratest.Claims{Audience: "api://AKSIdentityBinding"}))))
	}, "credential", "federation_mismatch", "APPONLY_IDENTITY_BINDING", ""},
	{"for Entra, at the proxy of a cluster", "identity binding", func(c *clinic) { c.write("token", []byte(c.hide(c.sts.FederatedToken()))) }, "credential", "federation_mismatch", "the proxy of an AKS identity binding takes", ""},
	{"for somebody else", "federated", func(c *clinic) {
		c.write("token", []byte(c.hide(c.assertion(entratest.Claims{Audience: "https://kubernetes.default.svc"}))))
	}, "token", "federation_mismatch", "AADSTS700212", "credential"},
	{"of another service account", "federated", func(c *clinic) {
		c.write("token", []byte(c.hide(c.assertion(entratest.Claims{Subject: "system:serviceaccount:demo:other"}))))
	}, "token", "federation_mismatch", `sub "system:serviceaccount:demo:other"`, ""},
	{"expired in the job's variable", "assertion-env", func(c *clinic) {
		c.set("CI_TOKEN", c.hide(c.assertion(entratest.Claims{NotBefore: c.sts.Now().Add(-2 * time.Hour), ExpiresAt: c.sts.Now().Add(-time.Hour)})))
	}, "credential", "assertion_expired", "cannot be renewed in this job", ""},
	{"job's request token refused", "github-actions", failing("github", 401), "credential", "credential_unavailable", "GitHub Actions answered 401", ""},
	{"job's request token of another", "azure-pipelines", planted("SYSTEM_ACCESSTOKEN", "another-token"), "credential", "credential_unavailable", "Azure Pipelines answered", ""},
	{"no service account", "google-metadata", failing("google", 404), "credential", "credential_unavailable", "there is no service account here", ""},
	{"no metadata server", "google-metadata", func(c *clinic) { c.set("GCE_METADATA_HOST", closedPort(c.T)) }, "credential", "credential_unavailable", "connection refused", ""},
}

// assertion makes one that matches the app's federated credential but for what is
// given.
func (c *clinic) assertion(claims entratest.Claims) string {
	if claims.Subject == "" {
		claims.Subject = "system:serviceaccount:demo:worker"
	}
	if claims.Audience == "" {
		claims.Audience = "api://AzureADTokenExchange"
	}
	return c.sts.Issuer().Token(claims)
}

// failing has an endpoint answer with a status.
func failing(endpoint string, status int) func(*clinic) {
	return func(c *clinic) {
		if _, err := c.sts.AddFault(entratest.Fault{Endpoint: endpoint, Status: status}); err != nil {
			c.Fatal(err)
		}
	}
}
