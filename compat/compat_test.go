// SPDX-License-Identifier: MIT

package compat_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// own is what a program reads besides the proxy and the root; none for those that have it in
// their code.
var own = map[string]map[string]string{
	"azidentity environment": {"AZURE_TENANT_ID": "$TENANT", "AZURE_CLIENT_ID": "$CLIENT", "AZURE_CLIENT_SECRET": "$SECRET"},
	"azidentity workload":    {"AZURE_TENANT_ID": "$TENANT", "AZURE_CLIENT_ID": "$CLIENT", "AZURE_FEDERATED_TOKEN_FILE": "$ASSERTION"},
	"azidentity default":     {"AZURE_TENANT_ID": "$TENANT", "AZURE_CLIENT_ID": "$CLIENT", "AZURE_CLIENT_SECRET": "$SECRET", "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"},
	"Prometheus sdk":         {"AZURE_TENANT_ID": "$TENANT", "AZURE_CLIENT_ID": "$CLIENT", "AZURE_CLIENT_SECRET": "$SECRET"},
}

// TestPrograms has every program get a token by the proxy and the root in its environment,
// all of them at once, as different processes.
func TestPrograms(t *testing.T) {
	e := start(t)
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := e.run(t, name, own[name])
			client := e.App().ClientID()
			if strings.HasSuffix(name, "identity") || strings.HasSuffix(name, "machine") {
				client = e.identity.ClientID()
			}
			if strings.HasPrefix(name, "HashiCorp") {
				e.check(t, token, client, armAppID, armURI)
				return
			}
			e.check(t, token, client)
		})
	}
}

// TestDefaultAzureCredential has the chain of azidentity end where its variables say.
func TestDefaultAzureCredential(t *testing.T) {
	e := start(t)
	app := map[string]string{"AZURE_TENANT_ID": "$TENANT", "AZURE_CLIENT_ID": "$CLIENT"}
	with := func(more ...string) map[string]string {
		vars := maps.Clone(app)
		for i := 0; i < len(more); i += 2 {
			vars[more[i]] = more[i+1]
		}
		return vars
	}
	for name, vars := range map[string]map[string]string{
		"secret":                     with("AZURE_CLIENT_SECRET", "$SECRET"),
		"certificate":                with("AZURE_CLIENT_CERTIFICATE_PATH", "$PEM"),
		"EnvironmentCredential":      with("AZURE_CLIENT_CERTIFICATE_PATH", "$PEM", "AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential"),
		"WorkloadIdentityCredential": with("AZURE_FEDERATED_TOKEN_FILE", "$ASSERTION", "AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential"),
		"prod":                       with("AZURE_CLIENT_SECRET", "$SECRET", "AZURE_TOKEN_CREDENTIALS", "prod"),
		"ManagedIdentityCredential":  {"AZURE_CLIENT_ID": "$IDENTITY", "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := e.App().ClientID()
			if name == "ManagedIdentityCredential" {
				client = e.identity.ClientID()
			}
			e.check(t, e.run(t, "azidentity default", vars), client)
		})
	}
}

// kubelogin builds the program that kubectl gets its tokens from.
var kubelogin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "compat-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubelogin")
	out, err := exec.Command("go", "build", "-o", path, "github.com/Azure/kubelogin").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

func TestKubelogin(t *testing.T) {
	path, err := kubelogin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(path)) })
	e := start(t)
	app := []string{"--tenant-id", e.apponly["TENANT"], "--client-id", e.apponly["CLIENT"]}
	for name, args := range map[string][]string{
		"secret":              append([]string{"-l", "spn", "--client-secret", e.apponly["SECRET"]}, app...),
		"secret, legacy":      append([]string{"-l", "spn", "--legacy", "--client-secret", e.apponly["SECRET"]}, app...),
		"certificate":         append([]string{"-l", "spn", "--client-certificate", e.apponly["PEM"]}, app...),
		"certificate, legacy": append([]string{"-l", "spn", "--legacy", "--client-certificate", e.apponly["PEM"]}, app...),
		"workload identity":   append([]string{"-l", "workloadidentity", "--federated-token-file", e.apponly["ASSERTION"]}, app...),
		"machine":             {"-l", "msi"},
		"managed identity":    {"-l", "msi", "--client-id", e.apponly["IDENTITY"]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args = append([]string{"get-token", "--server-id", e.apponly["API"], "--cache-dir", t.TempDir()}, args...)
			var answer struct {
				Status struct{ Token string }
			}
			if out := output(t, e.environ(t, nil), path, args...); json.Unmarshal([]byte(out), &answer) != nil {
				t.Fatalf("%d bytes that are no ExecCredential", len(out))
			}
			client := e.App().ClientID()
			if slices.Contains(args, "msi") {
				client = e.identity.ClientID()
			}
			e.check(t, answer.Status.Token, client)
		})
	}
}
