// SPDX-License-Identifier: MIT

package kubectl_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// TestExecCredential has client-go, which is what kubectl asks by, run the command as its
// plugin, and an API server that lets nobody in without a good token.
func TestExecCredential(t *testing.T) {
	w := newWorld(t)
	client := w.client(t, "client.authentication.k8s.io/v1")
	for range 2 {
		if status := w.get(t, client); status != http.StatusOK {
			t.Errorf("status %d, want 200", status)
		}
	}
	// Another process asks the cache in a file.
	if status := w.get(t, w.client(t, "client.authentication.k8s.io/v1")); status != http.StatusOK {
		t.Errorf("status %d, want 200", status)
	}
	if n := w.sts.Counters().Endpoints["token"]; n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	if n := w.let.Load(); n != 3 {
		t.Errorf("%d requests were let in, want 3", n)
	}
}

// TestExecCredentialOfAnotherVersion has client-go ask for what the command has not.
func TestExecCredentialOfAnotherVersion(t *testing.T) {
	w := newWorld(t)
	old := "client.authentication.k8s.io/v1beta1"
	resp, err := w.client(t, old).Get(w.api.URL)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("status %d, want an error", resp.StatusCode)
	}
	if !strings.Contains(err.Error(), "exec: ") || w.sts.Counters().Endpoints["token"] != 0 {
		t.Errorf("%v, %d token requests", err, w.sts.Counters().Endpoints["token"])
	}
}

// aks is the server app of all clusters of AKS that trust Entra.
const aks = "6dae42f8-4368-4678-94ff-3960e28e3630"

// A world is an emulated Entra, an API server and the command, on the PATH.
type world struct {
	sts *entratest.Server
	api *httptest.Server
	let atomic.Int32 // requests that were let in
	env map[string]string
}

func newWorld(t *testing.T) *world {
	w, bin := &world{sts: entratest.New(t)}, t.TempDir()
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "apponly"), ".")
	build.Dir = "../../cmd/apponly"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	authority, _ := w.sts.StartTLS()
	verifier, err := verify.New(aks, []verify.Rule{{Tenant: w.sts.Tenant().ID(), Client: w.sts.App().ClientID()}},
		&verify.Options{Cloud: w.sts.Cloud(), HTTPClient: w.sts.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	w.api = httptest.NewTLSServer(verifier.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { w.let.Add(1) })))
	t.Cleanup(w.api.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, w.sts.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{
		"AZURE_TENANT_ID": w.sts.Tenant().ID(), "AZURE_CLIENT_ID": w.sts.App().ClientID(), "AZURE_CLIENT_SECRET": w.sts.Secret(),
		"AZURE_AUTHORITY_HOST": authority, "APPONLY_TRUST_AUTHORITY_HOST": "1", "APPONLY_CA_FILE": ca, "XDG_CACHE_HOME": filepath.Join(dir, "cache"),
	}
	return w
}

// client returns client-go's way to the API server by the kubeconfig of
// docs/kubernetes.md, with the environment of the app.
func (w *world) client(t *testing.T, apiVersion string) *http.Client {
	t.Helper()
	var env strings.Builder
	for name, value := range w.env {
		env.WriteString("\n      - {name: " + name + ", value: " + `"` + value + `"}`)
	}
	kubeconfig := `apiVersion: v1
kind: Config
current-context: emulated
contexts:
- {name: emulated, context: {cluster: emulated, user: worker}}
clusters:
- {name: emulated, cluster: {server: "` + w.api.URL + `", insecure-skip-tls-verify: true}}
` + strings.ReplaceAll(users(t), "client.authentication.k8s.io/v1\n", apiVersion+"\n") + "      env:" + env.String() + "\n"
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// users returns the users of the kubeconfig that the page shows.
func users(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n```yaml\n(users:\n.*?\n)```\n").FindSubmatch(page)
	if block == nil || !strings.Contains(string(block[1]), aks) {
		t.Fatal("docs/kubernetes.md has no kubeconfig for AKS")
	}
	return string(block[1])
}

func (w *world) get(t *testing.T, client *http.Client) (status int) {
	t.Helper()
	resp, err := client.Get(w.api.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
