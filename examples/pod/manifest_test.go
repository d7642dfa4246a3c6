// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

// A manifest is what matters here of one: what the container gets to see.
type manifest struct {
	env    map[string]string
	mounts []string          // paths of directories
	files  map[string]string // their files, and the keys of the Secret in them
	probes []string
}

var (
	nameLine  = regexp.MustCompile(`^- name: (\S+)$`)
	keyLine   = regexp.MustCompile(`^- key: (\S+)$`)
	valueLine = regexp.MustCompile(`^value: (\S+)$`)
	pathLine  = regexp.MustCompile(`^path: (\S+)$`)
	mountLine = regexp.MustCompile(`^mountPath: (\S+)$`)
	comment   = regexp.MustCompile(`(^|\s+)#.*`)
)

// parse reads the lines of the manifests here: it knows no more of YAML than they
// use, and fails on what it does not know where it matters.
func parse(text string) (m manifest, err error) {
	m = manifest{env: map[string]string{}, files: map[string]string{}}
	var inEnv, inProbe bool
	var depth int
	var name, key string
	for line := range strings.Lines(text) {
		line = comment.ReplaceAllString(strings.TrimRight(line, "\n"), "")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if (inEnv || inProbe) && indent <= depth {
			inEnv, inProbe = false, false
		}
		match := func(re *regexp.Regexp) string {
			if sub := re.FindStringSubmatch(trimmed); sub != nil {
				return sub[1]
			}
			return ""
		}
		switch {
		case trimmed == "env:":
			inEnv, depth = true, indent
		case trimmed == "httpGet:":
			inProbe, depth = true, indent
		case inEnv && match(nameLine) != "":
			name = match(nameLine)
		case inEnv && match(valueLine) != "" && name != "":
			m.env[name], name = match(valueLine), ""
		case inEnv:
			return m, fmt.Errorf("line in env that is neither a name nor a value: %q", trimmed)
		case inProbe && match(pathLine) != "":
			m.probes = append(m.probes, match(pathLine))
		case match(mountLine) != "":
			m.mounts = append(m.mounts, match(mountLine))
		case match(keyLine) != "":
			key = match(keyLine)
		case match(pathLine) != "" && key != "" && len(m.mounts) == 1:
			m.files[m.mounts[0]+"/"+match(pathLine)], key = key, ""
		}
	}
	if name != "" || key != "" || len(m.mounts) > 1 {
		return m, fmt.Errorf("not understood: name %q, key %q, mounts %q", name, key, m.mounts)
	}
	return m, nil
}

// setup makes the environment of this process what the manifest makes it in a
// container, only that the files are below dir. injected is what the
// manifest leaves to others.
func (m manifest) setup(t *testing.T, dir string, material, injected map[string]string) {
	t.Helper()
	write := func(path, content string) {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o400)); err != nil {
			t.Fatal(err)
		}
	}
	for path, key := range m.files {
		write(path, material[key])
	}
	env := maps.Clone(m.env)
	maps.Copy(env, injected)
	if path := injected["AZURE_FEDERATED_TOKEN_FILE"]; path != "" {
		write(path, material["federated-token"])
	}
	for name, value := range env {
		if strings.HasPrefix(value, "/") {
			value = filepath.Join(dir, value)
		}
		t.Setenv(name, value)
	}
}

// check says what FromEnv would find wrong with the environment, or ignore of it.
func (m manifest) check(credential string) error {
	e := apponly.ExplainEnv(nil)
	if e.Err != nil {
		return e.Err
	}
	if e.Credential != credential || len(e.Ignored) > 0 {
		return fmt.Errorf("the credential is %q, want %q; ignored: %q", e.Credential, credential, e.Ignored)
	}
	own := []string{"APPONLY_SCOPE", "APPONLY_URL", "LISTEN_ADDR"} // the program's
	for name := range m.env {
		if !slices.Contains(e.Used, name) && !slices.Contains(own, name) {
			return fmt.Errorf("%s is set and nobody reads it", name)
		}
	}
	return nil
}

// webhook is what that of workload identity adds, the client ID from the service
// account's annotation. See
// https://azure.github.io/azure-workload-identity/docs/topics/mutating-admission-webhook.html.
var webhook = map[string]string{
	"AZURE_TENANT_ID":            "11111111-1111-1111-1111-111111111111",
	"AZURE_CLIENT_ID":            "22222222-2222-2222-2222-222222222222",
	"AZURE_AUTHORITY_HOST":       "https://login.microsoftonline.com/",
	"AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/wi/token/azure-identity-token",
}

// The manifests: which credential each is about, as FromEnv and the emulator
// name it, and what the cluster adds.
var manifests = []struct {
	file, credential string
	injected         map[string]string
}{
	{"secret.yaml", "secret", nil},
	{"certificate.yaml", "certificate", nil},
	{"workload-identity.yaml", "federated", webhook},
}

// material is what a cluster would put into the files.
func material(entra *entratest.Server) map[string]string {
	c := entra.Certificate()
	return map[string]string{
		"client-secret":    entra.Secret() + "\n", // kubectl takes a line break along
		"tls.crt":          string(c.CertPEM()),
		"tls.key":          string(c.KeyPEM()),
		"tls-combined.pem": string(c.KeyPEM()) + "\n" + string(c.CertPEM()), // the key first, as cert-manager has it
		"federated-token":  entra.FederatedToken(),
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestManifests(t *testing.T) {
	for _, tc := range manifests {
		t.Run(tc.file, func(t *testing.T) {
			kittest.Isolate(t)
			entra := entratest.New(t)
			m, err := parse(read(t, tc.file))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			m.setup(t, dir, material(entra), tc.injected)
			if err := m.check(tc.credential); err != nil {
				t.Fatal(err)
			}
			if want := []string{"/healthz", "/healthz", "/readyz"}; !slices.Equal(m.probes, want) {
				t.Errorf("probes = %q, want %q", m.probes, want)
			}

			// The same pod, of an app that exists.
			env, err := environment(entra, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range env {
				t.Setenv(name, value)
			}
			var out kittest.Output
			if err := live(t.Context(), &out, entra, m.probes); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			kittest.WantLines(t, out.String(), "credential: "+tc.credential, "level=INFO msg=ready scope=https://api.example.com/.default",
				`msg=called url=https://api.example.com/orders status="200 OK"`, "msg=stopped", "GET /readyz was answered 200 OK.")
			kittest.WantNoSecrets(t, out.String(), entra.Secret())
			var methods []string
			for _, r := range entra.Requests() {
				if r.AuthMethod != "" {
					methods = append(methods, r.AuthMethod)
				}
			}
			if !slices.Equal(methods, []string{tc.credential}) {
				t.Errorf("token requests by %q, want one by %s", methods, tc.credential)
			}
		})
	}
}

// The check above is worth something: with any of these mistakes it fails.
func TestManifestMistakes(t *testing.T) {
	for _, tc := range []struct{ name, file, old, new, want string }{
		{"misspelt variable", "secret.yaml", "APPONLY_CLIENT_SECRET_FILE", "APPONLY_SECRET_FILE", "no credential in the environment"},
		{"variable nobody reads", "secret.yaml", "APPONLY_URL", "APPONLY_URI", "APPONLY_URI is set and nobody reads it"},
		{"another mount path", "secret.yaml", "mountPath: /var/run/secrets/apponly", "mountPath: /etc/apponly", "APPONLY_CLIENT_SECRET_FILE: the file it names"},
		{"another file name", "certificate.yaml", "path: tls-combined.pem", "path: client.pem", "AZURE_CLIENT_CERTIFICATE_PATH: the file it names"},
		{"client ID that is none", "certificate.yaml", "22222222-2222-2222-2222-222222222222", "your-client-id", "AZURE_CLIENT_ID"},
		{"another credential", "workload-identity.yaml", "value: federated", "value: secret", "asks for a secret"},
		{"secret in a variable beside the file", "secret.yaml", "APPONLY_URL\n              value: https://api.example.com/orders", "AZURE_CLIENT_SECRET\n              value: x", "both AZURE_CLIENT_SECRET and APPONLY_CLIENT_SECRET_FILE"},
		{"value from elsewhere", "secret.yaml", "value: /var", "valueFrom: /var", "neither a name nor a value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kittest.Isolate(t)
			text := read(t, tc.file)
			if !strings.Contains(text, tc.old) {
				t.Fatalf("%s lacks %q", tc.file, tc.old)
			}
			m, err := parse(strings.ReplaceAll(text, tc.old, tc.new))
			if err == nil {
				for _, original := range manifests {
					if original.file == tc.file {
						m.setup(t, t.TempDir(), material(entratest.New(t)), original.injected)
						err = m.check(original.credential)
					}
				}
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one that says %q", err, tc.want)
			}
		})
	}
}

// What no environment shows.
func TestManifestsAreWhole(t *testing.T) {
	readme := read(t, "README.md")
	for _, tc := range manifests {
		text := read(t, tc.file)
		for _, want := range []string{
			"runAsNonRoot: true", "readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false", "drop: [ALL]",
			"automountServiceAccountToken: false", "requests:", "startupProbe:", "livenessProbe:", "readinessProbe:", "failureThreshold: 2\n",
			"containerPort: " + strings.TrimPrefix(listenAddr, ":") + "\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", tc.file, want)
			}
		}
		if strings.Contains(text, "subPath:") {
			t.Errorf("%s mounts with subPath: a rotated file would not arrive", tc.file)
		}
		if !strings.Contains(readme, "kubectl apply -f examples/pod/"+tc.file) {
			t.Errorf("README.md does not say how to apply %s", tc.file)
		}
		// A Secret has the name and key that the pod wants of it.
		if m := regexp.MustCompile(`(?s)secret:\s+secretName: (\S+).*- key: (\S+)`).FindStringSubmatch(text); m != nil {
			if want := fmt.Sprintf("kubectl create secret generic %s --from-file=%s=", m[1], m[2]); !strings.Contains(readme, want) {
				t.Errorf("README.md lacks %q", want)
			}
		} else if tc.injected == nil {
			t.Errorf("%s mounts no Secret", tc.file)
		}
	}
	for file, want := range map[string][]string{
		"certificate.yaml": {"secretName: apponly-pod-certificate\n  commonName", "algorithm: RSA", "- type: CombinedPEM"},
		"workload-identity.yaml": {"kind: ServiceAccount\nmetadata:\n  name: apponly-pod\n", "    azure.workload.identity/client-id: ",
			`        azure.workload.identity/use: "true"`, "      serviceAccountName: apponly-pod\n"},
	} {
		for _, w := range want {
			if !strings.Contains(read(t, file), w) {
				t.Errorf("%s lacks %q", file, w)
			}
		}
	}
}
