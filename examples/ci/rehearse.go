// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

//go:embed github.yml azure-pipelines.yml gitlab-ci.yml
var files embed.FS

// A platform is a CI system that the emulator plays.
type platform struct {
	name, file string
	// begin starts a job that the app trusts, and returns the variables that the
	// platform adds to those of the workflow file.
	begin func(*entratest.Server, workflow) map[string]string
}

var platforms = []platform{
	{"github", "github.yml", beginGitHub},
	{"azure", "azure-pipelines.yml", beginAzure},
	{"gitlab", "gitlab-ci.yml", beginGitLab},
}

// rehearse plays the workflow file of a platform, or of all for "".
func rehearse(ctx context.Context, out io.Writer, name string) error {
	played := false
	for _, p := range platforms {
		if name != "" && name != p.name {
			continue
		}
		text, err := files.ReadFile(p.file)
		if err != nil {
			return err
		}
		entra := entratest.NewServer()
		fmt.Fprintf(out, "%s, with an emulated Entra:\n", p.file)
		err = p.play(ctx, out, entra, read(string(text)))
		entra.Close()
		if err != nil {
			return err
		}
		fmt.Fprintln(out)
		played = true
	}
	if !played {
		return fmt.Errorf("-emulate %q: want github, azure or gitlab", name)
	}
	return nil
}

// play runs the step in the environment that the workflow file gives it.
func (p platform) play(ctx context.Context, out io.Writer, entra *entratest.Server, w workflow) error {
	const role = "Data.Read.All"
	orders := entra.Tenant().NewResource("https://api.example.com", role)
	orders.AddURI("api://orders")
	orders.Grant(entra.Tenant(), entra.App(), role)
	// The server's own client connects example.com, and what is below it, to the server.
	api := httptest.NewTLSServer(orders.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), role))
	defer api.Close()

	env := maps.Clone(w.env)
	maps.Copy(env, p.begin(entra, w))
	for name, id := range map[string]string{"AZURE_TENANT_ID": entra.Tenant().ID(), "AZURE_CLIENT_ID": entra.App().ClientID()} {
		if env[name] != "" {
			env[name] = id // "yours", in the file
		}
	}
	restore, err := setenv(env)
	defer restore()
	if err != nil {
		return err
	}
	opts := &apponly.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient()}
	return step(ctx, out, opts, api.Client().Transport)
}

func beginGitHub(entra *entratest.Server, w workflow) map[string]string {
	job := entra.NewGitHubJob("repo:octo-org/app:environment:prod")
	entra.App().AddFederatedCredential(job.FederatedCredential())
	if !w.has("id-token: write") {
		return nil
	}
	return job.Env()
}

func beginAzure(entra *entratest.Server, w workflow) map[string]string {
	job := entra.NewPipelineJob("sc://contoso/project/orders")
	entra.App().AddFederatedCredential(job.FederatedCredential())
	env := job.Env()
	if w.env["SYSTEM_ACCESSTOKEN"] != "$(System.AccessToken)" {
		delete(env, "SYSTEM_ACCESSTOKEN")
	}
	if w.has("azureSubscription: orders") {
		env["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"] = job.ServiceConnectionID()
	}
	return env
}

func beginGitLab(entra *entratest.Server, w workflow) map[string]string {
	const subject = "project_path:octo-org/app:ref_type:branch:ref:main"
	gitlab := entra.NewIssuer("https://gitlab.com")
	entra.App().AddFederatedCredential(entratest.FederatedCredential{
		Issuer: gitlab.URL(), Subject: subject, Audience: entra.Cloud().ExchangeAudience(),
	})
	env := map[string]string{}
	for name, audience := range w.idTokens {
		env[name] = gitlab.Token(entratest.Claims{Subject: subject, Audience: audience})
	}
	return env
}

// A workflow is what matters here of a workflow file.
type workflow struct {
	lines    map[string]bool
	env      map[string]string
	idTokens map[string]string // GitLab: audience by name
}

func (w workflow) has(line string) bool { return w.lines[line] }

// read reads the workflow files here: it knows no more of YAML than they use.
func read(text string) workflow {
	w := workflow{map[string]bool{}, map[string]string{}, map[string]string{}}
	block, depth, idToken := "", 0, ""
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			continue
		}
		w.lines[trimmed] = true
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if indent <= depth {
			block = ""
		}
		key, value, _ := strings.Cut(trimmed, ":")
		value = strings.TrimSpace(value)
		switch {
		case block == "" && value == "" && (key == "env" || key == "variables" || key == "id_tokens"):
			block, depth = key, indent
		case block == "id_tokens" && value == "":
			idToken = key
		case block == "id_tokens" && key == "aud":
			w.idTokens[idToken] = value
		case block == "env" || block == "variables":
			w.env[key] = value
		}
	}
	return w
}

// setenv sets variables until restore is called.
func setenv(env map[string]string) (restore func(), err error) {
	before := map[string]*string{}
	for name, value := range env {
		before[name] = nil
		if old, ok := os.LookupEnv(name); ok {
			before[name] = &old
		}
		err = errors.Join(err, os.Setenv(name, value))
	}
	return func() {
		for name, old := range before {
			if old == nil {
				os.Unsetenv(name)
			} else {
				os.Setenv(name, *old)
			}
		}
	}, err
}
