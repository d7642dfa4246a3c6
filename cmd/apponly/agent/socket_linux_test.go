// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

// onSocket has the agent on a socket for users, in a directory that all may enter.
func onSocket(t *testing.T, mode string, uids ...int) (*world, string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "agent-") // others cannot get into t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "agent.sock")
	w := newWorld(t, func(c *agent.Config) {
		c.Listen = agent.Listen{Socket: path, SocketMode: mode}
		c.Callers = []agent.Caller{{UID: uids, Scopes: c.Callers[0].Scopes}}
	})
	return w, path
}

func socketClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	w, path := onSocket(t, "0640", os.Getuid())
	at, stop := w.run(t)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o640 || at.Socket != path || at.Endpoint != "" {
		t.Errorf("mode %v, at %+v", info.Mode(), at)
	}
	ask := func(secret string) (int, string) {
		r, _ := http.NewRequest("GET", "http://localhost/msi/token?api-version=2019-08-01&resource="+w.resource(), nil)
		r.Header.Set("X-IDENTITY-HEADER", secret)
		resp, err := socketClient(path).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := ask(""); status != 200 || !isToken(body) {
		t.Errorf("a listed user: %d %s", status, body)
	}
	if status, body := ask(w.secret); status != 200 {
		t.Errorf("with the header secret besides: %d %s", status, body)
	}
	if status, body := ask("wrong"); status != 401 || isToken(body) {
		t.Errorf("with a wrong secret besides: %d %s", status, body)
	}
	cfg := *w.cfg
	cfg.Listen.SocketMode = "0600"
	if err := w.agent.Reload(&cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Lstat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("after a change of its mode: %v", info.Mode())
	}
	stop()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// Who may connect is not who gets tokens, and the mode keeps others out before that.
func TestSocketOfAnotherUser(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil || os.Getuid() != 0 {
		t.Skip("SKIPPED: wants root, to be another user, and curl")
	}
	const nobody = 65534
	for name, tc := range map[string]struct {
		mode string
		uid  int
		want string
	}{
		"a listed user":   {"0666", nobody, "200"},
		"another user":    {"0666", 0, "403"},
		"may not connect": {"0600", nobody, "000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, path := onSocket(t, tc.mode, tc.uid)
			w.run(t)
			cmd := exec.CommandContext(t.Context(), curl, "-s", "-w", "\n%{http_code}", "--unix-socket", path,
				"http://localhost/msi/token?api-version=2019-08-01&resource="+w.resource())
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			out, _ := cmd.Output() // that it fails is what the status says
			body, status, _ := strings.Cut(string(out), "\n")
			if rest, last, found := strings.Cut(status, "\n"); found {
				body, status = body+rest, last
			}
			if status != tc.want || isToken(body) != (tc.want == "200") {
				t.Errorf("status %s, want %s: %s", status, tc.want, body)
			}
			if tc.want == "403" && !strings.Contains(w.log.String(), `"caller":"uid 65534"`) {
				t.Errorf("the log does not name the caller: %s", w.log)
			}
		})
	}
}

func TestSocketInTheWay(t *testing.T) {
	t.Parallel()
	w, path := onSocket(t, "", os.Getuid())
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.agent.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "another process is listening on it") {
		t.Errorf("with a live one: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if it had been killed
	l.Close()
	_, stop := w.run(t)
	stop()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.agent.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("with a file: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("the file is gone: %v", err)
	}
}

// A proxy on a socket knows its users as all else does.
func TestProxyOnSocket(t *testing.T) {
	t.Parallel()
	to := newAPI(t)
	w, path := onSocket(t, "", os.Getuid())
	socket := filepath.Join(filepath.Dir(path), "proxy.sock")
	cfg := *w.cfg
	for uid, want := range map[int]int{os.Getuid(): 200, os.Getuid() + 1: 403} {
		cfg.Proxies = []agent.Proxy{{Socket: socket, To: to.URL, Scope: w.API().Scope(), UID: []int{uid}}}
		if err := w.agent.Reload(&cfg, w.clients); err != nil {
			t.Fatal(err)
		}
		_, stop := w.run(t)
		resp, err := socketClient(socket).Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("user %d is listed: %d, want %d", uid, resp.StatusCode, want)
		}
		stop()
	}
	if seen, _ := to.requests(); len(seen) != 1 {
		t.Errorf("%d requests at the API, want 1", len(seen))
	}
}

// Only a socket that refuses connections was left behind. One that cannot be connected
// to for another reason is somebody's.
func TestSocketOfAnotherProgram(t *testing.T) {
	t.Parallel()
	w, path := onSocket(t, "", os.Getuid())
	logs, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := w.agent.Run(ctx, func(agent.Addresses) { cancel() }); err == nil {
		t.Error("it took the place of a socket for datagrams")
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket is gone: %v", err)
	}
}

// Who may write to the directory of the socket can put something else in its place. The
// agent does not change what that leads to.
func TestSocketIsNoLink(t *testing.T) {
	t.Parallel()
	w, path := onSocket(t, "0600", os.Getuid())
	w.run(t)
	precious := filepath.Join(t.TempDir(), "precious")
	err := errors.Join(os.WriteFile(precious, nil, 0o600), os.Remove(path), os.Symlink(precious, path))
	if err != nil {
		t.Fatal(err)
	}
	cfg := *w.cfg
	cfg.Listen.SocketMode = "0666"
	if err := w.agent.Reload(&cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(precious); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file elsewhere has now mode %v, %v", info.Mode(), err)
	}
}
