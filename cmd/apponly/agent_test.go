// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

// An entra is an emulator of this process, and the environment of its app.
type entra struct {
	*entratest.Server
	secretFile string
	env        []string
}

func newEntra(t *testing.T) *entra {
	t.Helper()
	e := &entra{Server: entratest.New(t)}
	authority, err := e.ListenTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e.secretFile = filepath.Join(dir, "secret")
	e.setSecret(t, e.Secret())
	if err := writeFile(dir, "ca.pem", e.CAPEM()); err != nil {
		t.Fatal(err)
	}
	e.env = []string{
		"AZURE_AUTHORITY_HOST=" + authority, "APPONLY_TRUST_AUTHORITY_HOST=1", "APPONLY_CA_FILE=" + filepath.Join(dir, "ca.pem"),
		"AZURE_TENANT_ID=" + e.Tenant().ID(), "AZURE_CLIENT_ID=" + e.App().ClientID(), "APPONLY_CLIENT_SECRET_FILE=" + e.secretFile,
	}
	return e
}

func (e *entra) setSecret(t *testing.T, secret string) {
	t.Helper()
	if err := writeFile(filepath.Dir(e.secretFile), filepath.Base(e.secretFile), []byte(secret)); err != nil {
		t.Fatal(err)
	}
}

// clean is the environment of this process without what leads SDKs anywhere.
func clean() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(v), "=")
		if !strings.HasSuffix(name, "_PROXY") && !strings.HasPrefix(name, "AZURE_") && !strings.HasPrefix(name, "APPONLY_") && !strings.HasPrefix(name, "IDENTITY_") && !strings.HasPrefix(name, "MSI_") {
			env = append(env, v)
		}
	}
	return env
}

// A runningAgent is "apponly agent" as a process.
type runningAgent struct {
	agent.Addresses
	dir    string
	cmd    *exec.Cmd
	stderr *lockedBuffer
	stop   func(os.Signal) (status int)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startAgent runs an agent of e's app until the test ends. Without a --dir it gets one.
func (e *entra) startAgent(t *testing.T, args ...string) *runningAgent {
	t.Helper()
	a := &runningAgent{dir: filepath.Join(t.TempDir(), "agent"), stderr: &lockedBuffer{}}
	a.cmd = command(context.Background(), append([]string{"agent", "--dir", a.dir}, args...)...)
	a.cmd.Env = append(append(clean(), asCommand+"=1", "GORACE=atexit_sleep_ms=10"), e.env...)
	a.cmd.Stderr = a.stderr
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	a.stop = func(sig os.Signal) int {
		once.Do(func() {
			a.cmd.Process.Signal(sig)
			hung := time.AfterFunc(time.Minute, func() { a.cmd.Process.Kill() })
			defer hung.Stop()
			a.cmd.Wait() // its status says more
		})
		return a.cmd.ProcessState.ExitCode()
	}
	t.Cleanup(func() {
		a.stop(os.Interrupt)
		if t.Failed() {
			t.Logf("the agent's stderr:\n%s", a.stderr)
		}
	})
	hung := time.AfterFunc(time.Minute, func() { a.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	hung.Stop()
	if err == nil {
		err = json.Unmarshal([]byte(line), &a.Addresses)
	}
	if err != nil {
		a.stop(os.Kill)
		t.Fatalf("the agent printed %q, %v; stderr:\n%s", line, err, a.stderr)
	}
	return a
}

func (e *entra) simple(t *testing.T, args ...string) *runningAgent {
	t.Helper()
	return e.startAgent(t, append([]string{"--addr", "127.0.0.1:0", "--scope", e.API().Scope()}, args...)...)
}

// served is how many calls the agent has answered, whatever it said.
func (a *runningAgent) served() int { return strings.Count(a.stderr.String(), `"msg":"token call"`) }

// get asks for a token as an SDK does.
func (a *runningAgent) get(t *testing.T, secret, resource string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", a.Endpoint+"?api-version=2019-08-01&resource="+resource, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-IDENTITY-HEADER", secret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func secretOf(t *testing.T, a *runningAgent) string {
	t.Helper()
	data, err := os.ReadFile(a.HeaderFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func (e *entra) resource() string { return strings.TrimSuffix(e.API().Scope(), "/.default") }

func TestAgentExitStatus(t *testing.T) {
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"} {
		t.Setenv(name, "")
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("listen: {tcp: 127.0.0.1:0}\ncallerz: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const scope = "api://x/.default"
	for name, tt := range map[string]struct {
		args   []string
		status int
		stderr string
	}{
		"nothing":                  {nil, 2, "--scope is required"},
		"not a scope":              {[]string{"--scope", "x"}, 2, "--scope: "},
		"for all":                  {[]string{"--scope", scope, "--addr", "0.0.0.0:1"}, 2, "--addr: want a loopback address"},
		"imds for all":             {[]string{"--scope", scope, "--imds", "10.0.0.1:80"}, 2, "--imds: want a loopback address"},
		"no port":                  {[]string{"--scope", scope, "--health", "x"}, 2, "--health: want host:port"},
		"nowhere":                  {[]string{"--scope", scope, "--addr", ""}, 2, "nothing to listen on"},
		"both":                     {[]string{"--scope", scope, "--config", bad}, 2, "--scope does not go with --config"},
		"bad config":               {[]string{"--config", bad}, 2, bad + `:2: callerz: unknown key, did you mean callers?`},
		"no config":                {[]string{"--config", bad + "x"}, 2, "--config: open"},
		"no credential":            {[]string{"--scope", scope, "--addr", "127.0.0.1:0"}, 1, "no credential in the environment"},
		"env of none":              {[]string{"env", "--dir", t.TempDir()}, 1, "is an agent running there?"},
		"env without a dir":        {[]string{"env"}, 2, "--dir is required"},
		"env in another format":    {[]string{"env", "--dir", "x", "--format", "x"}, 2, "want shell or k8s"},
		"a directory of something": {[]string{"--scope", scope, "--dir", filepath.Dir(bad)}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := outcome(t, append([]string{"agent"}, tt.args...)...)
			if status != tt.status || !strings.Contains(stderr, tt.stderr) || stdout != "" {
				t.Errorf("status %d, want %d\nstdout %q\nstderr %q, want %q", status, tt.status, stdout, stderr, tt.stderr)
			}
		})
	}
}

// What the flags give, and to whom.
func TestAgentByFlags(t *testing.T) {
	t.Parallel()
	e := newEntra(t)
	a := e.simple(t, "--health", "127.0.0.1:0")
	secret := secretOf(t, a)
	if got := a.get(t, secret, e.resource()); got != 200 {
		t.Errorf("with the secret: %d", got)
	}
	if got := a.get(t, "x", e.resource()); got != 401 {
		t.Errorf("with another: %d", got)
	}
	if got := a.get(t, secret, "https://graph.microsoft.com"); got != 403 {
		t.Errorf("another resource: %d", got)
	}
	if a.Socket != "" || a.IMDS != "" || a.HeaderFile != filepath.Join(a.dir, headerFile) {
		t.Errorf("it is at %+v", a.Addresses)
	}
	resp, err := http.Get(a.Health + "/readyz")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("/readyz: %v %v", resp, err)
	}
	resp.Body.Close()
	if status := a.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	entries, _ := os.ReadDir(a.dir)
	if len(entries) != 1 || entries[0].Name() != headerFile {
		t.Errorf("it left %v, want the secret alone, for programs that have it", entries)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(a.stderr.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("on stderr there is %q, want lines of JSON", line)
		}
	}
	// The secret is the same for the next agent.
	again := e.startAgent(t, "--dir", a.dir, "--addr", "127.0.0.1:0", "--scope", e.API().Scope())
	if got := again.get(t, secret, e.resource()); got != 200 {
		t.Errorf("the next agent does not know the secret: %d", got)
	}
}

// A hangup takes another configuration and another secret; one that is wrong changes
// nothing.
func TestAgentHangup(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: there is no SIGHUP")
	}
	e := newEntra(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	write := func(scope string) {
		text := "listen: {tcp: 127.0.0.1:0}\nheader_file: " + dir + "/header\nshared: {dir: " + dir + "/cache}\ncallers:\n- {header: default, scopes: [\"" + scope + "\"]}\n"
		if err := writeFile(dir, "agent.yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("api://another/.default")
	a := e.startAgent(t, "--config", config)
	first := secretOf(t, a)
	if got := a.get(t, first, e.resource()); got != 403 {
		t.Errorf("before: %d", got)
	}
	hangup := func(want string) {
		before := strings.Count(a.stderr.String(), want)
		a.cmd.Process.Signal(syscall.SIGHUP)
		waitUntil(t, func() bool { return strings.Count(a.stderr.String(), want) > before })
	}
	write(e.API().Scope())
	hangup("the configuration was read")
	waitUntil(t, func() bool { return secretOf(t, a) != first })
	second := secretOf(t, a)
	for name, secret := range map[string]string{"old": first, "new": second} {
		if got := a.get(t, secret, e.resource()); got != 200 {
			t.Errorf("with the %s secret: %d", name, got)
		}
	}
	write("nonsense")
	hangup("the configuration stays as it was")
	if got := a.get(t, second, e.resource()); got != 200 {
		t.Errorf("after a bad configuration: %d", got)
	}
	// SIGKILL leaves nobody time for anything. The next agent has the token.
	write(e.API().Scope())
	a.stop(syscall.SIGKILL)
	asked := e.TokenRequests()
	if asked == 0 {
		t.Error("no token was asked for")
	}
	a = e.startAgent(t, "--config", config)
	if got := a.get(t, secretOf(t, a), e.resource()); got != 200 || e.TokenRequests() != asked {
		t.Errorf("after it was killed: %d, with %d more token requests, want none", got, e.TokenRequests()-asked)
	}
}

// A configuration that cannot be put into effect leaves the tokens where they are, too.
func TestAgentHangupKeepsTokens(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: there is no SIGHUP")
	}
	e := newEntra(t)
	dir := t.TempDir()
	write := func(shared string) {
		text := "listen: {tcp: 127.0.0.1:0}\nheader_file: " + dir + "/header\n" + shared + "callers:\n- {header: default, scopes: [\"" + e.API().Scope() + "\"]}\n"
		if err := writeFile(dir, "agent.yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	a := e.startAgent(t, "--config", filepath.Join(dir, "agent.yaml"))
	if got := a.get(t, secretOf(t, a), e.resource()); got != 200 {
		t.Fatalf("before: %d", got)
	}
	for _, step := range []struct{ shared, want string }{
		{"shared: {redis_url_file: " + dir + "/none, key_file: " + dir + "/none}\n", "the configuration stays as it was"},
		{"", "the configuration was read"},
	} {
		write(step.shared)
		a.cmd.Process.Signal(syscall.SIGHUP)
		waitUntil(t, func() bool { return strings.Contains(a.stderr.String(), step.want) })
	}
	if got := a.get(t, secretOf(t, a), e.resource()); got != 200 || e.TokenRequests() != 1 {
		t.Errorf("after it: %d, with %d token requests, want 1", got, e.TokenRequests())
	}
}

// waitUntil waits for another process, which no bubble holds.
func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it did not happen within 30 s")
		}
	}
}
