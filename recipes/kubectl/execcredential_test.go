// SPDX-License-Identifier: MIT

package kubectl_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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

// A world is an emulated Entra, an API server and the command.
type world struct {
	sts     *entratest.Server
	api     *httptest.Server
	let     atomic.Int32 // requests that were let in
	command string
	env     map[string]string
}

func newWorld(t *testing.T) *world {
	w := &world{sts: entratest.New(t), command: filepath.Join(t.TempDir(), "apponly")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.command, ".")
	build.Dir = "../../cmd/apponly"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	authority, _ := w.sts.StartTLS()
	verifier, err := verify.New(w.sts.API().AppID(), []verify.Rule{{Tenant: w.sts.Tenant().ID(), Roles: []string{"Data.Read.All"}}},
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

// client returns client-go's way to the API server by a kubeconfig.
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
users:
- name: worker
  user:
    exec:
      apiVersion: ` + apiVersion + `
      command: ` + w.command + `
      args: [token, --scope, ` + w.sts.API().Scope() + `, --output, exec-credential]
      interactiveMode: Never
      env:` + env.String() + "\n"
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

func (w *world) get(t *testing.T, client *http.Client) (status int) {
	t.Helper()
	resp, err := client.Get(w.api.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
