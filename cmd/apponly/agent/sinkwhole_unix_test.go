// SPDX-License-Identifier: MIT

//go:build unix

package agent_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
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
