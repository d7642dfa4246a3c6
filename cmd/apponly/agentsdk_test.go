// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/apponly/apponly/entratest"
)

// asSDK makes the test binary a program that uses azidentity: its arguments are those of
// testdata/node/managed.mjs.
const asSDK = "APPONLY_TEST_AS_SDK"

// A sdkLine is what programs with an SDK say of a case.
type sdkLine struct {
	Case  string  `json:"case"`
	Took  float64 `json:"took"`
	Error string  `json:"error"`
}

func sdk() {
	scope := policy.TokenRequestOptions{Scopes: []string{os.Args[1]}}
	managed := func(id azidentity.ManagedIDKind) (azcore.TokenCredential, error) {
		return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: id})
	}
	credentials := map[string]func() (azcore.TokenCredential, error){
		"plain": func() (azcore.TokenCredential, error) { return managed(nil) },
		"client": func() (azcore.TokenCredential, error) {
			return managed(azidentity.ClientID(os.Getenv("TEST_CLIENT_ID")))
		},
		"other": func() (azcore.TokenCredential, error) {
			return managed(azidentity.ClientID("11111111-2222-4333-8444-555555555555"))
		},
		"raw":     func() (azcore.TokenCredential, error) { return raw{}, nil },
		"default": func() (azcore.TokenCredential, error) { return azidentity.NewDefaultAzureCredential(nil) },
	}
	for _, name := range os.Args[2:] {
		start := time.Now()
		times, what := 1, name
		fmt.Sscanf(name, "%d*%s", &times, &what) // so many credentials
		var err error
		for range times {
			var cred azcore.TokenCredential
			cred, err = credentials[what]()
			for i := 0; i < 3 && err == nil; i++ {
				_, err = cred.GetToken(context.Background(), scope)
			}
		}
		line := sdkLine{Case: name, Took: time.Since(start).Seconds()}
		if err != nil {
			line.Error = err.Error()
		}
		json.NewEncoder(os.Stdout).Encode(line)
	}
	os.Exit(0)
}

// A raw credential asks with every call, unlike azidentity, which remembers tokens for
// all credentials of a process.
type raw struct{}

func (raw) GetToken(ctx context.Context, o policy.TokenRequestOptions) (t azcore.AccessToken, err error) {
	resource := strings.TrimSuffix(o.Scopes[0], "/.default")
	r, err := http.NewRequestWithContext(ctx, "GET", os.Getenv("IDENTITY_ENDPOINT")+"?api-version=2019-08-01&resource="+resource, nil)
	if err != nil {
		return t, err
	}
	r.Header.Set("X-IDENTITY-HEADER", os.Getenv("IDENTITY_HEADER"))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return t, err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return t, err
}

// A program has an SDK.
type program struct {
	name    string
	command []string
	env     []string
}

// inGo is this binary, which is on every machine.
func inGo() program {
	return program{"Go", []string{os.Args[0]}, []string{asSDK + "=1", "GORACE=atexit_sleep_ms=10"}}
}

// programs are those with the SDKs that are on this machine.
func programs(t *testing.T) []program {
	t.Helper()
	all := []program{inGo()}
	python := "/usr/bin/python3" // Debian's, which has Debian's packages
	if err := exec.CommandContext(t.Context(), python, "-c", "import azure.identity").Run(); err == nil {
		all = append(all, program{"Python", []string{python, absolute(t, "testdata/python/managed.py")}, nil})
	} else {
		t.Log("SKIPPED: python3-azure is not on this machine: azure-identity for Python is not tested")
	}
	if node, err := exec.LookPath("node"); err == nil {
		all = append(all, program{"Node", []string{node, filepath.Join(nodeModules(t), "managed.mjs")}, nil})
	} else {
		t.Log("SKIPPED: node is not on this machine: @azure/identity and MSAL Node are not tested")
	}
	return all
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs the program in a shell that got its variables from "agent env", and with a
// proxy in its environment that nobody may ask.
func (p program) run(t *testing.T, a *runningAgent, more []string, args ...string) []sdkLine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	env := `set -eu; eval "$(` + asCommand + `=1 "$0" agent env --dir "$1")"; shift; exec "$@"`
	cmd := exec.CommandContext(ctx, "sh", append(append([]string{"-c", env, os.Args[0], a.dir}, p.command...), args...)...)
	cmd.Env = append(append(append(clean(), "HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1",
		"IDENTITY_SERVER_THUMBPRINT=x", "MSI_ENDPOINT=http://127.0.0.1:1"), p.env...), more...)
	cmd.Stderr = &lockedBuffer{}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", p.name, err, out, cmd.Stderr)
	}
	var lines []sdkLine
	s := bufio.NewScanner(strings.NewReader(string(out)))
	for s.Scan() {
		var line sdkLine
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("%s: %s: %v", p.name, s.Text(), err)
		}
		lines = append(lines, line)
	}
	if len(lines) != len(args)-1 {
		t.Fatalf("%s: %d lines for %d cases: %s", p.name, len(lines), len(args)-1, out)
	}
	return lines
}

// Unmodified Azure SDKs get tokens with the variables of "agent env" alone, ask the
// agent once for three calls, and Entra is asked once for all of them.
func TestAgentAndSDKs(t *testing.T) {
	t.Parallel()
	e := newEntra(t)
	a := e.simple(t)
	for _, p := range programs(t) {
		t.Run(p.name, func(t *testing.T) {
			id := "TEST_CLIENT_ID=" + e.App().ClientID()
			cases := []string{"plain", "client", "default"}
			if p.name == "Node" {
				cases = append(cases, "msal", "msal-client")
			}
			for _, name := range cases {
				before := a.served()
				line := p.run(t, a, []string{id}, e.API().Scope(), name)[0]
				if line.Error != "" {
					t.Errorf("%s: %s", name, line.Error)
				}
				if got := a.served() - before; got != 1 {
					t.Errorf("%s: %d calls of the agent for 3 of the SDK, want 1", name, got)
				}
			}
			if line := p.run(t, a, nil, e.API().Scope(), "other")[0]; !strings.Contains(line.Error, "Identity not found") {
				t.Errorf("another client ID: %q, want that the identity was not found", line.Error)
			}
			// What the container has for other reasons does no harm, but to the Python of
			// Debian, which does not know AZURE_TOKEN_CREDENTIALS yet.
			others := []string{"AZURE_CLIENT_ID=" + e.App().ClientID(), "AZURE_TENANT_ID=" + e.Tenant().ID(), "AZURE_CLIENT_SECRET=x"}
			if p.name == "Python" {
				others = others[:2]
			}
			if line := p.run(t, a, others, e.API().Scope(), "default")[0]; line.Error != "" {
				t.Errorf("with %d variables of another credential: %s", len(others), line.Error)
			}
		})
	}
	if got := e.TokenRequests(); got != 1 {
		t.Errorf("%d token requests, want 1", got)
	}
}

// The shape of IMDS, for the SDKs that can be told where it is: Go's cannot.
func TestAgentAsIMDS(t *testing.T) {
	t.Parallel()
	e := newEntra(t)
	a := e.startAgent(t, "--addr", "", "--imds", "127.0.0.1:0", "--scope", e.API().Scope())
	for _, p := range programs(t) {
		if p.name == "Go" {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			before := a.served()
			for _, line := range p.run(t, a, []string{"TEST_CLIENT_ID=" + e.App().ClientID()}, e.API().Scope(), "plain", "client") {
				if line.Error != "" {
					t.Errorf("%s: %s", line.Case, line.Error)
				}
			}
			if a.served() == before {
				t.Error("it did not ask the agent")
			}
		})
	}
}

// Ten processes with a hundred credentials each cost one token request, whether their
// SDK remembers tokens or not.
func TestAgentAndProcesses(t *testing.T) {
	t.Parallel()
	e := newEntra(t)
	a := e.simple(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for _, line := range inGo().run(t, a, nil, e.API().Scope(), "100*plain", "100*raw") {
				if line.Error != "" {
					t.Error(line.Error)
				}
			}
		})
	}
	wg.Wait()
	if got, want := a.served(), 10+10*100*3; got != want {
		t.Errorf("the agent had %d calls, want %d: one of each SDK, and all of those without", got, want)
	}
	if got := e.TokenRequests(); got != 1 {
		t.Errorf("%d token requests, want 1", got)
	}
}

// What a person has to mend is in the SDK's own message, after one request.
func TestAgentRefusesSDKs(t *testing.T) {
	t.Parallel()
	e := newEntra(t)
	e.App().RemoveSecret(e.Secret())
	all := programs(t)
	a, start := e.simple(t), time.Now()
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			before := a.served()
			line := p.run(t, a, nil, e.API().Scope(), "plain")[0]
			for _, want := range []string{"AADSTS7000215", "client secret is not one of the app's", "Deploy the secret's value, not its ID"} {
				if !strings.Contains(line.Error, want) {
					t.Errorf("no %q in %s", want, line.Error)
				}
			}
			if got := a.served() - before; got != 1 {
				t.Errorf("%d calls of the agent, want 1", got)
			}
		})
	}
	// The agent itself asks again, after a pause that doubles from a second at least.
	most := 2
	for pause, at := time.Second, time.Second; at < time.Since(start); at += pause {
		most, pause = most+1, 2*pause
	}
	if got := e.TokenRequests(); got > most {
		t.Errorf("%d token requests in %v, want %d at most", got, time.Since(start), most)
	}
}

// Entra wants to be left alone for some seconds: SDKs come back when they are over, and
// nobody asks it meanwhile.
func TestAgentThrottlesSDKs(t *testing.T) {
	t.Parallel()
	e := newEntra(t)
	if _, err := e.AddFault(entratest.Fault{Endpoint: "token", Status: 429, RetryAfter: "8", Times: 1}); err != nil {
		t.Fatal(err)
	}
	all := programs(t)
	start := time.Now()
	a := e.simple(t)
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() {
			line := p.run(t, a, nil, e.API().Scope(), "plain")[0]
			if took := time.Since(start); line.Error != "" || took < 7*time.Second {
				t.Errorf("%s: after %v: %q, want a token after 8 s", p.name, took, line.Error)
			}
			t.Logf("%s: a token after %.1f s", p.name, line.Took)
		})
	}
	wg.Wait()
	if c := e.Counters(); e.TokenRequests() != 2 || c.EarlyReturns != 0 {
		t.Errorf("%d token requests, %d of them too early; want 2 and none", e.TokenRequests(), c.EarlyReturns)
	}
}

// An SDK outlives its agent with the token that it has, and finds the next one.
func TestAgentIsKilled(t *testing.T) {
	e := newEntra(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	text := "listen: {tcp: 127.0.0.1:0}\nheader_file: " + dir + "/header\nshared: {dir: " + dir + "/cache}\nwarm: [\"" + e.API().Scope() + "\"]\ncallers:\n- {header: default, scopes: [\"" + e.API().Scope() + "\"]}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := e.startAgent(t, "--config", config)
	t.Setenv("IDENTITY_ENDPOINT", a.Endpoint)
	t.Setenv("IDENTITY_HEADER", secretOf(t, a))
	cred, err := azidentity.NewManagedIdentityCredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func() error {
		_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{e.API().Scope()}})
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	a.stop(syscall.SIGKILL)
	for range 10 {
		if err := get(); err != nil {
			t.Fatalf("without an agent: %v", err)
		}
	}
	asked := e.TokenRequests()
	for range 3 {
		a = e.startAgent(t, "--config", config)
		if got := a.get(t, secretOf(t, a), e.resource()); got != 200 {
			t.Errorf("the next agent: %d", got)
		}
		a.stop(syscall.SIGKILL)
	}
	if got := e.TokenRequests() - asked; got != 0 {
		t.Errorf("three starts cost %d token requests, want none", got)
	}
}

// Any OAuth client has the agent as its token endpoint.
func TestAgentAsTokenEndpoint(t *testing.T) {
	t.Parallel()
	e := newEntra(t)
	a := e.simple(t)
	conf := clientcredentials.Config{
		ClientID: e.App().ClientID(), ClientSecret: secretOf(t, a), Scopes: []string{e.API().Scope()},
		TokenURL: strings.TrimSuffix(a.Endpoint, "/msi/token") + "/v1/token",
	}
	token, err := conf.Token(t.Context())
	if err != nil || !strings.HasPrefix(token.AccessToken, "eyJ") || time.Until(token.Expiry) < 59*time.Minute {
		t.Fatalf("got %v, %v", token != nil, err)
	}
	conf.ClientSecret = "wrong"
	if _, err := conf.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("with a wrong secret: %v", err)
	}
	if got := e.TokenRequests(); got != 1 {
		t.Errorf("%d token requests, want 1", got)
	}
}
