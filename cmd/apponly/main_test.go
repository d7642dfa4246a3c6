// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asCommand makes the test binary the command, so that what is tested is a
// process of its own: its signals, its exit status, its files.
const asCommand = "APPONLY_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		daemon()
	}
	if os.Getenv(asCommand) != "" {
		main()
		panic("main returned")
	}
	if os.Getenv(asSDK) != "" {
		sdk()
	}
	status := m.Run()
	os.RemoveAll(nodeDir.path)
	os.Exit(status)
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	// The race detector's runtime waits for a second at exit unless told not to.
	cmd.Env = append(os.Environ(), asCommand+"=1", "GORACE=atexit_sleep_ms=10 "+os.Getenv("GORACE"))
	return cmd
}

// outcome runs the command to its end.
func outcome(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// An emulator is a running command, and what it said.
type emulator struct {
	demo
	line   string // on stdout
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *bytes.Buffer // complete once it has been stopped
	stop   func(os.Signal) (status int)
}

// start runs "apponly emulator" until the test ends, or it is stopped.
func start(t *testing.T, args ...string) *emulator {
	t.Helper()
	return await(t, command(context.Background(), append([]string{"emulator"}, args...)...))
}

// await runs a command that is an emulator.
func await(t *testing.T, cmd *exec.Cmd) *emulator {
	t.Helper()
	e := &emulator{cmd: cmd, stderr: &bytes.Buffer{}}
	e.cmd.Stderr = e.stderr
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	e.stop = func(sig os.Signal) int {
		once.Do(func() {
			e.cmd.Process.Signal(sig)
			hung := time.AfterFunc(time.Minute, func() { e.cmd.Process.Kill() })
			defer hung.Stop()
			e.cmd.Wait() // its status says more
		})
		return e.cmd.ProcessState.ExitCode()
	}
	t.Cleanup(func() {
		e.stop(os.Interrupt)
		if t.Failed() {
			t.Logf("the emulator's stderr:\n%s", e.stderr)
		}
	})
	hung := time.AfterFunc(time.Minute, func() { e.cmd.Process.Kill() })
	e.stdout = bufio.NewReader(out)
	e.line, err = e.stdout.ReadString('\n')
	hung.Stop()
	if err != nil {
		e.stop(os.Kill)
		t.Fatalf("the emulator printed %q and %v; stderr:\n%s", e.line, err, e.stderr)
	}
	if err := json.Unmarshal([]byte(e.line), &e.demo); err != nil {
		t.Fatalf("%v in %s", err, e.line)
	}
	return e
}

// client trusts the emulator and nobody else.
func (e *emulator) client(t *testing.T) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(e.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in the CA file")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// answer is the union of what a token endpoint says.
type answer struct {
	Status      int
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	RefreshIn   int    `json:"refresh_in"`
	Codes       []int  `json:"error_codes"`
}

// ask posts a form to the token endpoint of a tenant. Without other fields it
// is a request of the demo app with its secret.
func (e *emulator) ask(t *testing.T, tenant string, fields ...string) answer {
	t.Helper()
	form := url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {e.ClientID},
		"client_secret": {e.ClientSecret},
		"scope":         {e.Scope},
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, err := e.client(t).PostForm(e.AuthorityHost+"/"+tenant+"/oauth2/v2.0/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := answer{Status: resp.StatusCode}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(body, &out) // a fault need not be JSON
	return out
}

func TestExitStatus(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shared := t.TempDir()
	if err := os.WriteFile(filepath.Join(shared, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("tenants: []\nappz: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		args   []string
		status int
		stdout string
		stderr string
	}{
		"version":                {[]string{"version"}, 0, "apponly ", ""},
		"version as JSON":        {[]string{"version", "--output", "json"}, 0, `"version":`, ""},
		"help":                   {[]string{"emulator", "--help"}, 0, "--addr", ""},
		"help has the defaults":  {[]string{"version", "--help"}, 0, "(default text)", ""},
		"no command":             {nil, 2, "", "apponly needs a command"},
		"unknown command":        {[]string{"emulater"}, 2, "", `did you mean "emulator"?`},
		"unknown flag":           {[]string{"emulator", "--adr", "x"}, 2, "", "unknown flag: --adr"},
		"argument":               {[]string{"emulator", "x"}, 2, "", "accepts 0 arg(s)"},
		"output":                 {[]string{"version", "--output", "xml"}, 2, "", "want text or json"},
		"addr without port":      {[]string{"emulator", "--addr", "127.0.0.1"}, 2, "", "--addr: want host:port"},
		"addr with a wrong port": {[]string{"emulator", "--addr", "127.0.0.1:99999"}, 2, "", "--addr: the port"},
		"addr with a named port": {[]string{"emulator", "--addr", "127.0.0.1:https"}, 2, "", "--addr: the port"},
		"addr with a zone":       {[]string{"emulator", "--addr", "[::1%lo]:0"}, 2, "", "--addr: an address with a zone"},
		"help of nothing":        {[]string{"help", "nosuch"}, 2, "", `there is no command "nosuch"`},
		"help of a command":      {[]string{"help", "emulator", "fault"}, 0, "running emulator", ""},
		"completion of no shell": {[]string{"completion"}, 2, "", "needs a command"},
		"completion of foo":      {[]string{"completion", "foo"}, 2, "", `has no command "foo"`},
		"completion of too much": {[]string{"completion", "bash", "x"}, 2, "", "accepts 0 arg(s)"},
		"completion":             {[]string{"completion", "bash"}, 0, "bash completion", ""},
		"admin":                  {[]string{"emulator", "--admin=maybe"}, 2, "", "--admin"},
		"no such config":         {[]string{"emulator", "--config", file + "x"}, 2, "", "--config: open"},
		"bad config":             {[]string{"emulator", "--config", bad}, 2, "", bad + ":2: appz: unknown key, did you mean apps?"},
		"port in use":            {[]string{"emulator", "--addr", busy.Addr().String()}, 1, "", "address already in use"},
		"dir is a file":          {[]string{"emulator", "--dir", file}, 1, "", "not a directory"},
		"dir is not ours":        {[]string{"emulator", "--dir", shared}, 1, "", "holds notes.txt"},
		"fault without a dir":    {[]string{"emulator", "fault", "list"}, 2, "", "--dir is required"},
		"fault, unknown command": {[]string{"emulator", "fault", "ad"}, 2, "", `did you mean "add"?`},
		"fault, not JSON":        {[]string{"emulator", "fault", "add", "--dir", shared, "status=1"}, 2, "", "not JSON"},
		"fault, nobody there":    {[]string{"emulator", "fault", "list", "--dir", shared}, 1, "", "is an emulator running there?"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := outcome(t, tt.args...)
			if status != tt.status || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("status %d, want %d\nstdout %q, want %q\nstderr %q, want %q", status, tt.status, stdout, tt.stdout, stderr, tt.stderr)
			}
			if tt.stdout == "" && stdout != "" || tt.status == 0 && stderr != "" {
				t.Errorf("results on stdout, all else on stderr: got\nstdout %q\nstderr %q", stdout, stderr)
			}
		})
	}
}

// TestInterrupted stops the command as a terminal and as a supervisor do.
func TestInterrupted(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(fmt.Sprint(sig), func(t *testing.T) {
			e := start(t)
			dir := filepath.Dir(e.CAFile)
			if _, err := os.Stat(dir); err != nil {
				t.Fatal(err)
			}
			if status := e.stop(sig); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the temporary directory is still there: %v", err)
			}
			host := strings.TrimPrefix(e.AuthorityHost, "https://")
			if conn, err := net.Dial("tcp", host); err == nil {
				conn.Close()
				t.Errorf("%s still answers", host)
			}
		})
	}
}
