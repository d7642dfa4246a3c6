// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

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
