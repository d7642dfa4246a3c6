// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

// A reader never sees a part of a token, an empty file or none, nor a mode or group
// that is not the one asked for.
func TestFileIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if memory, err := os.MkdirTemp("/dev/shm", "agent-"); err == nil { // where fsync costs nothing
		t.Cleanup(func() { os.RemoveAll(memory) })
		dir = memory
	}
	w := newWorld(t)
	c := w.clients[agent.DefaultApp]
	group := os.Getgid()
	if os.Getuid() == 0 {
		group = 2000
	}
	path := filepath.Join(dir, "token")
	sink := agent.NewSink(agent.File{Scope: w.API().Scope(), Path: path, Mode: "0640", Group: &group}, c, slog.New(slog.DiscardHandler))
	var tokens [2]apponly.Token
	for i := range tokens {
		var err error
		if tokens[i], err = w.client(t).Token(t.Context(), w.API().Scope()); err != nil {
			t.Fatal(err)
		}
	}
	if tokens[0].Value() == tokens[1].Value() {
		t.Fatal("both tokens are the same")
	}
	if err := sink.Replace(tokens[0]); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var reads [2]int
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			data, err := os.ReadFile(path)
			switch {
			case err != nil:
				t.Errorf("a reader: %v", err)
				return
			case string(data) == tokens[0].Value():
				reads[0]++
			case string(data) == tokens[1].Value():
				reads[1]++
			default:
				t.Errorf("a reader saw %d bytes that are no token", len(data))
				return
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("a reader: %v", err)
				return
			}
			if stat, ok := info.Sys().(*syscall.Stat_t); info.Mode() != 0o640 || ok && int(stat.Gid) != group {
				t.Errorf("a reader saw mode %v, group %d", info.Mode(), stat.Gid)
				return
			}
		}
	})
	const rotations = 10_000
	for i := range rotations {
		if err := sink.Replace(tokens[(i+1)%2]); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	wg.Wait()
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 || reads[0] == 0 || reads[1] == 0 {
		t.Errorf("%d files are left, %v reads", len(entries), reads)
	}
	t.Logf("%d rotations, %d reads", rotations, reads[0]+reads[1])
}

func TestFileFormats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.clients[agent.DefaultApp]
	token, err := c.Token(t.Context(), w.API().Scope())
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{
		"": token.Value(), "token": token.Value(),
		"header": "Authorization: Bearer " + token.Value() + "\n",
		"curl":   `header = "Authorization: Bearer ` + token.Value() + "\"\n",
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := agent.NewSink(agent.File{Path: path, Format: format}, c, w.cfg.Logger).Replace(token); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil || string(data) != want {
			t.Errorf("%q holds %d bytes, want %d: %v", format, len(data), len(want), err)
		}
		if info, _ := os.Stat(path); info.Mode() != 0o600 {
			t.Errorf("%q has mode %v, want 0600", format, info.Mode())
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := agent.NewSink(agent.File{Path: path, Format: "json"}, c, w.cfg.Logger).Replace(token); err != nil {
		t.Fatal(err)
	}
	var got struct {
		AccessToken string    `json:"access_token"`
		TokenType   string    `json:"token_type"`
		ExpiresOn   time.Time `json:"expires_on"`
	}
	data, _ := os.ReadFile(path)
	if err := json.Unmarshal(data, &got); err != nil || got.AccessToken != token.Value() || got.TokenType != "Bearer" || !got.ExpiresOn.Equal(token.ExpiresOn()) {
		t.Errorf("json holds something else: %v", err)
	}
}

// A day with an outage: the file has a good token, then none, then a good one.
func TestFileLivesAsItsToken(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]bool{"removed": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "token")
				w := newWorld(t, func(c *agent.Config) {
					c.Listen = agent.Listen{}
					c.Files = []agent.File{{Scope: c.Callers[0].Scopes[0], Path: path, KeepExpired: keep}}
					c.Callers, c.HeaderFile = nil, ""
				})
				w.SetTokenLifetime(time.Hour)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- w.agent.Run(ctx, nil) }()
				content := func() string { data, _ := os.ReadFile(path); return string(data) }
				time.Sleep(time.Second)
				first := content()
				if !isToken(first) {
					t.Fatal("there is no token in the file")
				}
				time.Sleep(time.Hour)
				second := content()
				if second == first || !isToken(second) {
					t.Fatal("the token was not renewed")
				}
				remove, err := w.AddFault(entratest.Fault{Endpoint: "token", Connection: "reset"})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				if content() != second {
					t.Error("the file lost its token before that had ended")
				}
				time.Sleep(51 * time.Minute)
				if got := content(); keep != (got == second) || !keep && got != "" {
					t.Errorf("after its end the file has %d bytes", len(got))
				}
				remove()
				time.Sleep(time.Minute)
				if got := content(); got == second || !isToken(got) {
					t.Error("there is no new token after the outage")
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if !strings.Contains(w.log.String(), "token file cannot be written") || !strings.Contains(w.log.String(), "token file is written again") {
					t.Errorf("the log does not tell: %s", w.log)
				}
			})
		})
	}
}

// A file that the configuration has no longer does not stay behind with an old token.
func TestFileIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := newWorld(t, func(c *agent.Config) {
			c.Listen, c.HeaderFile = agent.Listen{}, ""
			for _, name := range []string{"kept", "dropped"} {
				c.Files = append(c.Files, agent.File{Scope: c.Callers[0].Scopes[0], Path: filepath.Join(dir, name)})
			}
			c.Callers = nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.agent.Run(ctx, nil) }()
		time.Sleep(time.Second)
		there := func() int { entries, _ := os.ReadDir(dir); return len(entries) }
		if there() != 2 {
			t.Errorf("%d files, want 2", there())
		}
		cfg := *w.cfg
		cfg.Files = cfg.Files[:1]
		if err := w.agent.Reload(&cfg, w.clients); err != nil {
			t.Fatal(err)
		}
		if there() != 1 {
			t.Errorf("%d files, want 1", there())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
