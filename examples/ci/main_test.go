// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

// isolate takes away what a job has, should the test run in one.
func isolate(t *testing.T) {
	kittest.Isolate(t, "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
		"SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "ENTRA_ID_TOKEN")
}

func TestRun(t *testing.T) {
	isolate(t)
	var out strings.Builder
	if err := run(t.Context(), &out, ""); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	const token, call = "Got a token for api://orders/.default, good until 2", "GET https://api.example.com/orders answered 200 OK."
	kittest.WantLines(t, out.String(),
		"github.yml", "credential: github-actions (APPONLY_CREDENTIAL)", token, call,
		"azure-pipelines.yml", "credential: azure-pipelines (APPONLY_CREDENTIAL)", token, call,
		"gitlab-ci.yml", "credential: assertion-env (APPONLY_CREDENTIAL)", token, call)
	kittest.WantNoSecrets(t, out.String())
}

func TestRunOne(t *testing.T) {
	isolate(t)
	var out strings.Builder
	if err := run(t.Context(), &out, "gitlab"); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "answered 200 OK"); n != 1 || !strings.Contains(out.String(), "gitlab-ci.yml") {
		t.Errorf("want one call, that of gitlab-ci.yml:\n%s", &out)
	}
	if err := run(t.Context(), io.Discard, "jenkins"); err == nil || !strings.Contains(err.Error(), `"jenkins"`) {
		t.Errorf("run = %v, want an error that names jenkins", err)
	}
}

// In a job that lacks something nothing is emulated: the error says what it lacks.
func TestRunInAJobWithoutIdentity(t *testing.T) {
	isolate(t)
	t.Setenv("APPONLY_CREDENTIAL", "github-actions")
	var out strings.Builder
	err := run(t.Context(), &out, "")
	if err == nil {
		t.Fatal("run works without an identity")
	}
	for _, want := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "ACTIONS_ID_TOKEN_REQUEST_URL", "id-token: write"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("run = %v, want %s in it", err, want)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	isolate(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, io.Discard, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("run = %v, want context.Canceled", err)
	}
}

// Of what the files set everything is read, and nothing is a secret.
func TestFilesSetWhatIsRead(t *testing.T) {
	own := []string{"APPONLY_SCOPE", "APPONLY_URL"} // the program's
	for _, p := range platforms {
		isolate(t)
		text := file(t, p)
		w := read(text)
		var out strings.Builder
		if err := p.play(t.Context(), &out, entratest.New(t), w); err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(out.String(), "\nused: ")
		line, _, _ = strings.Cut(line, "\n")
		used := strings.Split(line, ", ")
		if len(w.env) < 5 || strings.Contains(out.String(), "\nignored: ") {
			t.Errorf("%s sets %v:\n%s", p.file, w.env, &out)
		}
		for name := range w.env {
			if !slices.Contains(used, name) && !slices.Contains(own, name) {
				t.Errorf("%s sets %s, which nobody reads", p.file, name)
			}
		}
		if strings.Contains(text, "secrets.") || strings.Contains(text, "CLIENT_SECRET") {
			t.Errorf("%s has a secret", p.file)
		}
	}
}

// What the head of a file says of the federated credential is what its jobs need.
func TestFilesNameTheirFederatedCredentials(t *testing.T) {
	entra := entratest.New(t)
	for name, c := range map[string]entratest.FederatedCredential{
		"github": entra.NewGitHubJob("repo:octo-org/app:environment:prod").FederatedCredential(),
		"azure":  {Subject: entra.NewPipelineJob("sc://contoso/project/orders").FederatedCredential().Subject, Audience: "api://AzureADTokenExchange"},
		"gitlab": {Issuer: "https://gitlab.com", Subject: "project_path:octo-org/app:ref_type:branch:ref:main", Audience: "api://AzureADTokenExchange"},
	} {
		i := slices.IndexFunc(platforms, func(p platform) bool { return p.name == name })
		text := file(t, platforms[i])
		for field, value := range map[string]string{"issuer:   ": c.Issuer, "subject:  ": c.Subject, "audience: ": c.Audience} {
			if value != "" && !strings.Contains(text, "#   "+field+value) {
				t.Errorf("%s lacks %q", platforms[i].file, field+value)
			}
		}
	}
}

// Each line counts: without it there is no token, and the error says why.
func TestFilesNeedTheirLines(t *testing.T) {
	for _, test := range []struct {
		platform, old, new string
		kind               apponly.Kind
		text               string
	}{
		{"github", "id-token: write", "", apponly.ErrCredentialMissing, "permissions: id-token: write"},
		{"github", "APPONLY_CREDENTIAL: github-actions", "", apponly.ErrCredentialMissing, "no credential in the environment"},
		{"github", "APPONLY_CREDENTIAL: github-actions", "APPONLY_CREDENTIAL: github", apponly.ErrCredentialMissing, "want secret, certificate"},
		{"github", "AZURE_CLIENT_ID:", "CLIENT_ID:", apponly.ErrConfiguration, "AZURE_CLIENT_ID is not set"},
		{"azure", "SYSTEM_ACCESSTOKEN: $(System.AccessToken)", "", apponly.ErrCredentialMissing, "SYSTEM_ACCESSTOKEN is not set"},
		{"azure", "$(System.AccessToken)", "$(System_AccessToken)", apponly.ErrCredentialMissing, "a macro that nothing has filled in"},
		{"azure", "azureSubscription: orders", "", apponly.ErrCredentialMissing, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"},
		{"azure", "AZURE_TENANT_ID:", "TENANT_ID:", apponly.ErrConfiguration, "AZURE_TENANT_ID is not set"},
		{"gitlab", "ENTRA_ID_TOKEN:", "ID_TOKEN:", apponly.ErrCredentialMissing, "ENTRA_ID_TOKEN is not set"},
		{"gitlab", "APPONLY_ASSERTION_ENV:", "ASSERTION_ENV:", apponly.ErrCredentialMissing, "APPONLY_ASSERTION_ENV is not set"},
		{"gitlab", "aud: api://AzureADTokenExchange", "aud: https://gitlab.com", apponly.ErrFederationMismatch, `"https://gitlab.com"`},
	} {
		t.Run(test.platform+" "+test.old, func(t *testing.T) {
			isolate(t)
			p := platforms[slices.IndexFunc(platforms, func(p platform) bool { return p.name == test.platform })]
			text := file(t, p)
			if !strings.Contains(text, test.old) {
				t.Fatalf("%s has no %q", p.file, test.old)
			}
			var out strings.Builder
			err := p.play(t.Context(), &out, entratest.New(t), read(strings.ReplaceAll(text, test.old, test.new)))
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error = %v, want %q and %s", err, test.text, string(test.kind))
			}
			kittest.WantNoSecrets(t, out.String())
		})
	}
}

func file(t *testing.T, p platform) string {
	t.Helper()
	text, err := files.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
