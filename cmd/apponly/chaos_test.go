// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

var chaosFor = flag.Duration("chaos", 0, "how long TestChaos makes trouble; by default it does not")

// The rule by which everything is judged: no call fails while a valid token
// exists, and there is a token within two seconds of the end of any trouble.
func TestChaos(t *testing.T) {
	if *chaosFor == 0 {
		t.Skip("it judges by real time, and wants a machine that does nothing else: -chaos 60s")
	}
	w := newWorld(t)
	w.calm(t, "a start without Entra", func() {
		for _, name := range []string{"secret", "certificate", "federated"} {
			w.startDaemon(t, name)
		}
		time.Sleep(time.Second)
		w.startEmulator(t)
	})
	start := time.Now()
	for rounds := 0; time.Since(start) < *chaosFor || rounds < len(troubles); rounds++ {
		trouble := troubles[rounds%len(troubles)]
		w.calm(t, trouble.name, func() { trouble.make(t, w, trouble.lasts()) })
	}
	w.judge(t)
}

// A trouble is over when make returns.
type trouble struct {
	name string
	make func(t *testing.T, w *world, lasts time.Duration)
	long bool // it outlasts the tokens, by up to a second
}

// lasts draws how long: a moment, or until tokens have ended.
func (tr trouble) lasts() time.Duration {
	if tr.long {
		return tokenLifetime + mathrand.N(200*time.Millisecond)
	}
	return 200*time.Millisecond + mathrand.N(time.Second)
}

var troubles = []trouble{
	{name: "killed, and back with a new root", make: killEmulator},
	{name: "stopped: a black hole", make: stopEmulator},
	{name: "connections reset", make: fault(`{"endpoint":"token","connection":"reset"}`)},
	{name: "answers cut half-way", make: fault(`{"endpoint":"token","connection":"truncate"}`)},
	{name: "answers garbled", make: fault(`{"endpoint":"token","connection":"garble"}`)},
	{name: "half of the answers 503", make: fault(`{"endpoint":"token","status":503,"probability":0.5}`)},
	{name: "files are garbage", make: spoil(func(path string) error { return os.WriteFile(path, []byte("\x00\xffgarbage\n\n"), 0o600) })},
	{name: "files are missing", make: spoil(os.Remove)},
	{name: "files are empty", make: spoil(func(path string) error { return os.Truncate(path, 0) })},
	{name: "files are half-written", make: spoil(func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, b[:len(b)/2], 0o600)
	})},
	{name: "files are directories", make: spoil(func(path string) error { os.Remove(path); return os.Mkdir(path, 0o700) })},
	{name: "files are pipes", make: spoil(func(path string) error { os.Remove(path); return syscall.Mkfifo(path, 0o600) })},
	{name: "credentials are swapped", make: swapCredentials},
	{name: "the clock of Entra is ahead", make: clockOffset(20 * time.Minute)},
	{name: "the clock of Entra is behind", make: clockOffset(-20 * time.Minute)},
	{name: "killed for longer than a token lives", make: killEmulator, long: true},
	{name: "stopped for longer than a token lives", make: stopEmulator, long: true},
	{name: "files are missing for longer than a token lives", make: spoil(os.Remove), long: true},
}

// A world is the emulator's process, the daemons', and the files between them.
type world struct {
	dir, config, addr string
	scope             string
	emulator          *emulator
	files             map[string][]byte // of the daemons' credentials, as they should be
	other             map[string][]byte // equally good ones

	mu       sync.Mutex
	calls    map[string][]call // by daemon
	troubles []interval
}

type interval struct {
	name     string
	from, to time.Time
}

const (
	chaosTenant = "6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6"
	chaosClient = "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), calls: map[string][]call{}, files: map[string][]byte{}, other: map[string][]byte{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = listener.Addr().String()
	listener.Close()

	issuer := entratest.NewServer() // for its certificates alone
	defer issuer.Close()
	for i, files := range []map[string][]byte{w.files, w.other} {
		files["secret"] = fmt.Appendf(nil, "chaos-secret-number-%d\n", i)
		cert := issuer.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
		files["certificate"] = cert.PEM()
		w.write(t, fmt.Sprintf("cert%d.pem", i), cert.PEM())
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := jose.JSONWebKey{Key: key, KeyID: "chaos", Algorithm: "RS256", Use: "sig"}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "jwks.json", jwks)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: private}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range []map[string][]byte{w.files, w.other} {
		assertion, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": "https://oidc.chaos.example", "sub": "system:serviceaccount:chaos:daemon", "aud": "api://AzureADTokenExchange",
			"exp": time.Now().Add(24 * time.Hour).Unix(), "jti": mathrand.Int(),
		}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		files["federated"] = []byte(assertion)
	}
	for name, content := range w.files {
		w.write(t, name, content)
	}
	w.scope = "https://chaos.example/.default"
	w.config = w.write(t, "config.yaml", fmt.Appendf(nil, `
tenants: [{id: %[1]s}]
apps:
  - name: daemon
    tenant: %[1]s
    client_id: %[2]s
    secrets: [{value: chaos-secret-number-0}, {value: chaos-secret-number-1}]
    certificates: [{file: cert0.pem}, {file: cert1.pem}]
    federated: [{issuer: "https://oidc.chaos.example", subject: "system:serviceaccount:chaos:daemon"}]
issuers: [{url: "https://oidc.chaos.example", jwks: jwks.json}]
resources: [{uri: "https://chaos.example", tenant: %[1]s, roles: [All]}]
grants: [{app: daemon, resource: "https://chaos.example", roles: [All]}]
token_lifetime: %[3]s
refresh_in: 1s
`, chaosTenant, chaosClient, tokenLifetime))
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// write replaces a file at once, as a rotation should.
func (w *world) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := w.path(name)
	if err := os.WriteFile(path+".next", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// startEmulator serves at the same address with the same directory, and a root
// of its own.
func (w *world) startEmulator(t *testing.T) {
	t.Helper()
	w.emulator = start(t, "--addr", w.addr, "--config", w.config)
	ca, err := os.ReadFile(w.emulator.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "ca.pem", ca)
}

func (w *world) startDaemon(t *testing.T, name string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Stderr = os.Stderr
	cmd.Env = []string{
		asDaemon + "=1", "SCOPE=" + w.scope, "APPONLY_CREDENTIAL=" + name,
		"AZURE_TENANT_ID=" + chaosTenant, "AZURE_CLIENT_ID=" + chaosClient,
		"AZURE_AUTHORITY_HOST=https://" + w.addr, "APPONLY_TRUST_AUTHORITY_HOST=1", "APPONLY_CA_FILE=" + w.path("ca.pem"),
		map[string]string{
			"secret": "APPONLY_CLIENT_SECRET_FILE", "certificate": "AZURE_CLIENT_CERTIFICATE_PATH", "federated": "AZURE_FEDERATED_TOKEN_FILE",
		}[name] + "=" + w.path(name),
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var c call
			if json.Unmarshal(lines.Bytes(), &c) == nil {
				w.mu.Lock()
				w.calls[name] = append(w.calls[name], c)
				w.mu.Unlock()
			}
		}
	}()
}

// calm makes trouble, and then gives the daemons time to get over it.
func (w *world) calm(t *testing.T, name string, trouble func()) {
	t.Helper()
	i := interval{name: name, from: time.Now()}
	trouble()
	i.to = time.Now()
	w.mu.Lock()
	w.troubles = append(w.troubles, i)
	w.mu.Unlock()
	time.Sleep(recovery + 500*time.Millisecond)
}

const recovery = 2 * time.Second

func (w *world) judge(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, calls := range w.calls {
		failed := 0
		for _, c := range calls {
			if c.Err == "" {
				continue
			}
			failed++
			during := w.during(c)
			if c.Valid {
				t.Errorf("%s: failed with a valid token (%s): %s", name, during.name, c.Err)
			}
			if c.Began.After(during.to.Add(recovery)) {
				t.Errorf("%s: failed %v after %s had ended: %s", name, c.Began.Sub(during.to), during.name, c.Err)
			}
		}
		for _, tr := range w.troubles {
			if !slices.ContainsFunc(calls, func(c call) bool {
				return c.Err == "" && c.Ended.After(tr.to) && c.Ended.Before(tr.to.Add(recovery))
			}) {
				t.Errorf("%s: no token within %v of the end of: %s", name, recovery, tr.name)
			}
		}
		t.Logf("%s: %d calls, %d failed without a token, %d troubles", name, len(calls), failed, len(w.troubles))
		if len(calls) < 100 {
			t.Errorf("%s: only %d calls", name, len(calls))
		}
	}
	if len(w.calls) != len(w.files) {
		t.Errorf("%d daemons called, want %d", len(w.calls), len(w.files))
	}
}

// during returns the last trouble that had begun when c did.
func (w *world) during(c call) (last interval) {
	for _, tr := range w.troubles {
		if tr.from.Before(c.Began) {
			last = tr
		}
	}
	return last
}

func killEmulator(t *testing.T, w *world, lasts time.Duration) {
	w.emulator.stop(os.Kill)
	time.Sleep(lasts)
	w.startEmulator(t)
}

func stopEmulator(t *testing.T, w *world, lasts time.Duration) {
	if err := w.emulator.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(lasts)
	if err := w.emulator.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

func fault(body string) func(*testing.T, *world, time.Duration) {
	return func(t *testing.T, w *world, lasts time.Duration) {
		w.admin(t, http.MethodPost, faultsPath, body)
		time.Sleep(lasts)
		w.admin(t, http.MethodDelete, faultsPath, "")
	}
}

func clockOffset(offset time.Duration) func(*testing.T, *world, time.Duration) {
	return func(t *testing.T, w *world, lasts time.Duration) {
		w.admin(t, http.MethodPut, "/_emulator/clock", fmt.Sprintf(`{"offset":%q}`, offset))
		time.Sleep(lasts)
		w.admin(t, http.MethodPut, "/_emulator/clock", `{"offset":"0s"}`)
	}
}

func (w *world) admin(t *testing.T, method, path, body string) {
	t.Helper()
	var b []byte
	if body != "" {
		b = []byte(body)
	}
	if _, err := askAdmin(t.Context(), filepath.Dir(w.emulator.CAFile), method, path, b); err != nil {
		t.Fatal(err)
	}
}

// spoil does something to the credential files, in place, and puts them right.
func spoil(do func(path string) error) func(*testing.T, *world, time.Duration) {
	return func(t *testing.T, w *world, lasts time.Duration) {
		for name := range w.files {
			if err := do(w.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(lasts)
		for name, content := range w.files {
			if info, err := os.Lstat(w.path(name)); err == nil && !info.Mode().IsRegular() {
				os.Remove(w.path(name))
			}
			w.write(t, name, content)
		}
	}
}

// swapCredentials rotates to others that are equally good.
func swapCredentials(t *testing.T, w *world, lasts time.Duration) {
	w.files, w.other = w.other, w.files
	for name, content := range w.files {
		w.write(t, name, content)
	}
	time.Sleep(lasts)
}
