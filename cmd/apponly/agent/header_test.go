// SPDX-License-Identifier: MIT

package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

func TestHeaderFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	info, err := os.Stat(w.cfg.HeaderFile)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %#o, want 0600", got)
	}
	if len(w.secret) != 43 { // 32 bytes in base64
		t.Errorf("a secret of %d characters", len(w.secret))
	}
	if _, err := agent.New(w.cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	if got := readSecret(t, w.cfg.HeaderFile); got != w.secret {
		t.Error("another agent has replaced the secret")
	}
	entries, err := os.ReadDir(filepath.Dir(w.cfg.HeaderFile))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files in the directory, want 1", len(entries))
	}
}

// Agents that start at once have one secret.
func TestHeaderFileIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := *w.cfg
	cfg.HeaderFile = filepath.Join(t.TempDir(), "identity-header")
	agents := make([]*agent.Agent, 20)
	var wg sync.WaitGroup
	for i := range agents {
		wg.Go(func() { agents[i], _ = agent.New(&cfg, w.clients) })
	}
	wg.Wait()
	w.secret = readSecret(t, cfg.HeaderFile)
	for _, a := range agents {
		if got := ask(a.Handler(), w.request()); got.status != 200 {
			t.Fatalf("an agent does not know the secret: %d %s", got.status, got.body)
		}
	}
}

// The old secret is good for ten minutes, so that programs can be started again.
func TestHeaderIsRotated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.secret
		status := func(secret string) int { return w.ask(w.request(set("X-IDENTITY-HEADER", secret))).status }
		if err := w.agent.RotateHeader(); err != nil {
			t.Fatal(err)
		}
		second := readSecret(t, w.cfg.HeaderFile)
		if second == first {
			t.Fatal("the secret is the same")
		}
		time.Sleep(10*time.Minute - time.Second)
		if status(first) != 200 || status(second) != 200 {
			t.Errorf("before ten minutes: old %d, new %d", status(first), status(second))
		}
		time.Sleep(time.Second)
		if status(first) != 401 || status(second) != 200 {
			t.Errorf("after ten minutes: old %d, new %d", status(first), status(second))
		}
		// What somebody has put there is taken.
		third := strings.Repeat("s", 40)
		if err := os.WriteFile(w.cfg.HeaderFile, []byte(third+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.agent.RotateHeader(); err != nil {
			t.Fatal(err)
		}
		if got := readSecret(t, w.cfg.HeaderFile); got != third || status(third) != 200 || status(second) != 200 {
			t.Errorf("the file has another secret than was put there, or it is not taken: %d %d", status(third), status(second))
		}
		// One that cannot be used leaves everything as it was.
		if err := os.WriteFile(w.cfg.HeaderFile, []byte("short\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.agent.RotateHeader(); err == nil || status(third) != 200 || status("short") != 401 {
			t.Errorf("after a bad file: %v, %d", err, status(third))
		}
	})
}

// Each reload of a configuration changes the secret. Two in a row do not cut off who has
// the one from before the first.
func TestHeaderIsRotatedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		status := func(secret string) int { return w.ask(w.request(set("X-IDENTITY-HEADER", secret))).status }
		secrets := []string{w.secret}
		for range 5 {
			time.Sleep(time.Minute)
			if err := w.agent.RotateHeader(); err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, readSecret(t, w.cfg.HeaderFile))
		}
		time.Sleep(7*time.Minute - time.Second) // a second before the next of them ends
		for i, want := range []int{401, 200, 200, 200, 200, 200} {
			if got := status(secrets[i]); got != want {
				t.Errorf("secret %d: %d, want %d", i, got, want)
			}
		}
		for range 100 { // and nothing grows
			if err := w.agent.RotateHeader(); err != nil {
				t.Fatal(err)
			}
		}
		if got := status(secrets[5]); got != 401 {
			t.Errorf("a hundred rotations later: %d", got)
		}
	})
}

func TestHeaderFileFaults(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("s", 43)
	for name, tc := range map[string]struct {
		data string
		mode os.FileMode
		want string
	}{
		"for everybody": {good, 0o644, "everybody on this host could get tokens"},
		"for a group":   {good, 0o640, ""},
		"short":         {"secret", 0o600, "want one line of 32 to 1024"},
		"empty":         {"", 0o600, "want one line"},
		"two lines":     {good + "\n" + good, 0o600, "want one line"},
		"with a blank":  {good + " ", 0o600, "want one line"},
		"long":          {strings.Repeat("s", 1025), 0o600, "want one line"},
	} {
		path := filepath.Join(t.TempDir(), "header")
		if err := os.WriteFile(path, []byte(tc.data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t)
		cfg := *w.cfg
		cfg.HeaderFile = path
		_, err := agent.New(&cfg, w.clients)
		switch {
		case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		case err != nil && strings.Contains(err.Error(), good):
			t.Errorf("%s: the secret is in %v", name, err)
		}
	}
	w := newWorld(t)
	cfg := *w.cfg
	cfg.HeaderFile = "/nonexistent/header"
	if _, err := agent.New(&cfg, w.clients); err == nil || !strings.HasPrefix(err.Error(), "header_file: ") {
		t.Errorf("no directory: %v", err)
	}
}
