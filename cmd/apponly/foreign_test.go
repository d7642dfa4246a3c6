// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sourced returns what a file of the directory exports to a shell.
func sourced(t *testing.T, path string) map[string]string {
	t.Helper()
	out, err := exec.Command("env", "-i", "AZURE_AUTHORITY_HOST=https://before.example", "PATH="+os.Getenv("PATH"),
		"sh", "-c", `. "$1" && env -0`, "sh", path).Output()
	if err != nil {
		t.Fatalf("sourcing %s: %v", path, err)
	}
	vars := make(map[string]string)
	for line := range strings.SplitSeq(string(out), "\x00") {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	return vars
}

// TestForeign is a program that knows what env-foreign says, and no emulator.
func TestForeign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), awkward)
	e := start(t, "--dir", dir, "--proxy", "127.0.0.1:0")
	vars := sourced(t, e.EnvForeignFile)
	for name, want := range map[string]string{
		"HTTPS_PROXY": e.Proxy, "http_proxy": e.Proxy, "NO_PROXY": "127.0.0.1,localhost,::1", "NODE_USE_ENV_PROXY": "1",
		"SSL_CERT_FILE": e.BundleFile, "REQUESTS_CA_BUNDLE": e.BundleFile, "CURL_CA_BUNDLE": e.BundleFile, "NODE_EXTRA_CA_CERTS": e.CAFile,
		"AZURE_TENANT_ID": e.TenantID, "AZURE_CLIENT_ID": e.ClientID, "AZURE_CLIENT_SECRET": e.ClientSecret,
		"AZURE_CLIENT_CERTIFICATE_PATH": e.CertificatePath, "AZURE_FEDERATED_TOKEN_FILE": e.FederatedTokenFile, "AZURE_AUTHORITY_HOST": "",
	} {
		if vars[name] != want {
			t.Errorf("%s = %q, want %q", name, vars[name], want)
		}
	}

	bundle, err := os.ReadFile(vars["SSL_CERT_FILE"])
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(bundle) {
		t.Fatalf("bundle.pem: %v", err)
	}
	if n := bytes.Count(bundle, []byte("BEGIN CERTIFICATE")); len(systemRoots()) > 0 && n < 2 {
		t.Errorf("bundle.pem has %d certificates, want the system's as well", n)
	}
	proxy, err := url.Parse(vars["HTTPS_PROXY"])
	if err != nil {
		t.Fatal(err)
	}
	client := trusting(t, roots)
	client.Transport.(*http.Transport).Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "127.0.0.1" { // NO_PROXY
			return nil, nil
		}
		return proxy, nil
	}
	tokens := map[string]string{
		"secret": body(t, client, postTo("https://login.microsoftonline.com/"+vars["AZURE_TENANT_ID"]+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {vars["AZURE_CLIENT_ID"]},
			"client_secret": {vars["AZURE_CLIENT_SECRET"]}, "scope": {e.Scope},
		})),
	}
	for name, u := range map[string]string{
		"machine":              "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01",
		"machine, by ID":       "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&client_id=" + e.ManagedIdentityClientID,
		"App Service":          vars["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01",
		"App Service, by ID":   vars["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&client_id=" + e.ManagedIdentityClientID,
		"App Service, refused": vars["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&client_id=" + e.ClientID,
	} {
		req, err := http.NewRequest(http.MethodGet, u+"&resource="+e.APIAudience, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Metadata", "true")
		req.Header.Set("X-IDENTITY-HEADER", vars["IDENTITY_HEADER"])
		tokens[name] = body(t, client, req)
	}
	for name, token := range tokens {
		req, err := http.NewRequest(http.MethodGet, e.APIURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got, want := resp.StatusCode == http.StatusOK, !strings.HasSuffix(name, "refused"); got != want {
			t.Errorf("%s: the API answers %s, want it to serve: %t", name, resp.Status, want)
		}
	}

	// What az login asks for right after its token, unless the configuration says otherwise.
	const subscriptions = "https://management.azure.com/subscriptions?api-version=2022-12-01"
	if got := statusOf(t, client, subscriptions); got != http.StatusUnauthorized {
		t.Errorf("Azure Resource Manager without a token: %d, want 401", got)
	}
	config := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(config, []byte("arm: false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := start(t, "--config", config, "--proxy", "127.0.0.1:0")
	if proxy, err = url.Parse(other.Proxy); err != nil {
		t.Fatal(err)
	}
	otherClient := other.client(t)
	otherClient.Transport.(*http.Transport).Proxy = http.ProxyURL(proxy)
	if got := statusOf(t, otherClient, subscriptions); got != http.StatusNotFound {
		t.Errorf("Azure Resource Manager that is off: %d, want 404", got)
	}

	// The next emulator in the directory has no proxy, and does not leave one behind.
	e.stop(os.Interrupt)
	start(t, "--dir", dir)
	if _, err := os.Stat(e.EnvForeignFile); err == nil {
		t.Error("env-foreign is still there, and its proxy is gone")
	}
}

func statusOf(t *testing.T, client *http.Client, u string) int {
	t.Helper()
	resp, err := client.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func trusting(t *testing.T, roots *x509.CertPool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func postTo(u string, form url.Values) *http.Request {
	req, err := http.NewRequest(http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// body returns the access token of an answer, "" if there is none.
func body(t *testing.T, client *http.Client, req *http.Request) string {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(data, &answer) != nil {
		t.Errorf("%s: %s, %v", req.URL.Host, resp.Status, err)
	}
	return answer.AccessToken
}

// TestMachines has each machine and job of the annotated file get a token by its environment.
func TestMachines(t *testing.T) {
	e := start(t, "--config", "testdata/example.yaml", "--proxy", "127.0.0.1:0", "--imds", "127.0.0.1:0")
	dir := filepath.Dir(e.CAFile)
	client := e.client(t)
	env := func(name string) map[string]string { return sourced(t, filepath.Join(dir, "env-"+name)) }
	ask := func(method, u, header, value string) map[string]string {
		t.Helper()
		req, err := http.NewRequest(method, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header, value)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		answer := map[string]string{"text": string(data)}
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s %v", u, resp.Status, data, err)
		}
		var all map[string]any
		_ = json.Unmarshal(data, &all) // Google's is none
		for k, v := range all {
			if s, ok := v.(string); ok {
				answer[k] = s
			}
		}
		return answer
	}
	exchanged := func(name, assertion string) {
		t.Helper()
		vars := env(name)
		got := e.ask(t, vars["AZURE_TENANT_ID"], "client_id", vars["AZURE_CLIENT_ID"], "client_secret", "",
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", assertion, "scope", ordersURI+"/.default")
		if got.Status != http.StatusOK || vars["AZURE_CLIENT_ID"] != workerID {
			t.Errorf("%s: %d %v for %s", name, got.Status, got.Codes, vars["AZURE_CLIENT_ID"])
		}
	}
	site := env("orders-vm")
	if got := ask("GET", site["IDENTITY_ENDPOINT"]+"?api-version=2019-08-01&resource="+ordersURI+"&client_id="+site["AZURE_CLIENT_ID"], "X-IDENTITY-HEADER", site["IDENTITY_HEADER"]); got["client_id"] != "4e5f6071-8293-44a5-86c7-d8e9f0a1b2c3" {
		t.Errorf("managed identity: client %s", got["client_id"])
	}
	github := env("deploy")
	exchanged("deploy", ask("GET", github["ACTIONS_ID_TOKEN_REQUEST_URL"]+"&audience=api://AzureADTokenExchange", "Authorization", "Bearer "+github["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])["value"])
	pipeline := env("release")
	exchanged("release", ask("POST", pipeline["SYSTEM_OIDCREQUESTURI"]+"?api-version=7.1&serviceConnectionId="+pipeline["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"], "Authorization", "Bearer "+pipeline["SYSTEM_ACCESSTOKEN"])["oidcToken"])
	google := env("gce")
	exchanged("gce", ask("GET", "http://"+google["GCE_METADATA_HOST"]+"/computeMetadata/v1/instance/service-accounts/default/identity?audience=api://AzureADTokenExchange", "Metadata-Flavor", "Google")["text"])
}

// TestEnvForKubelogin holds the env file to what kubelogin wants of an authority, a slash at
// its end, and to the scope that the examples read.
func TestEnvForKubelogin(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	e := start(t, "--dir", dir)
	got := sourced(t, filepath.Join(dir, "env"))
	if want := e.AuthorityHost + "/"; got["AZURE_AUTHORITY_HOST"] != want {
		t.Errorf("AZURE_AUTHORITY_HOST is %q, want %q", got["AZURE_AUTHORITY_HOST"], want)
	}
	if got["APPONLY_SCOPE"] != e.Scope {
		t.Errorf("APPONLY_SCOPE is %q, want %q", got["APPONLY_SCOPE"], e.Scope)
	}
}
