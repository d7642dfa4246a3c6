// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/apponly/apponly/entratest"
)

// A scenario says when what happens, counted from when all pods have a token.
type scenario struct{ kill, restart, end time.Duration }

var usual = scenario{kill: 10 * time.Second, restart: 15 * time.Second, end: 22 * time.Second}

const (
	tokenLifetime = time.Minute
	refreshIn     = 5 * time.Second
)

// A fleet is pods, and the Entra they ask.
type fleet struct {
	entra *entratest.Server
	env   []string
	stops []io.Closer // their standard inputs
	wg    sync.WaitGroup

	mu      sync.Mutex
	tallies []tally
}

// run has a fleet live through a scenario.
func run(ctx context.Context, stdout io.Writer, pods int, plan scenario) error {
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f, err := newFleet(dir)
	if err != nil {
		return err
	}
	defer f.entra.Close()
	place, err := newPlace(dir)
	if err != nil {
		return err
	}
	defer place.kill()
	f.env = append(f.env, place.env())

	say := func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) }
	say("* %d processes share tokens in %s", pods, place.name())
	defer f.stop()
	if err := f.start(ctx, pods); err != nil {
		return err
	}
	err = f.watch(ctx, say, plan, place)
	f.stop()
	t := f.sum()
	say("* %d calls, %d failed; %d tokens were taken from %s", t.Calls, t.Failed, t.Taken, place.name())
	if t.Failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d calls failed, one with: %s", t.Failed, t.Fault))
	}
	return err
}

func newFleet(dir string) (*fleet, error) {
	entra := entratest.NewServer()
	entra.SetTokenLifetime(tokenLifetime)
	entra.SetRefreshIn(refreshIn)
	authority, _ := entra.StartTLS()
	caFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "key")
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	for path, content := range map[string][]byte{caFile: entra.CAPEM(), keyFile: []byte(base64.StdEncoding.EncodeToString(key))} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	}
	return &fleet{entra: entra, env: []string{
		envScope + "=" + entra.API().Scope(),
		"AZURE_TENANT_ID=" + entra.Tenant().ID(), "AZURE_CLIENT_ID=" + entra.App().ClientID(), "AZURE_CLIENT_SECRET=" + entra.Secret(),
		"AZURE_AUTHORITY_HOST=" + authority, "APPONLY_TRUST_AUTHORITY_HOST=1", "APPONLY_CA_FILE=" + caFile, // for the emulator
		"APPONLY_SHARED_KEY_FILE=" + keyFile,
	}}, nil
}

// start starts pods at once and waits until each has had its first token.
func (f *fleet) start(ctx context.Context, pods int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	f.tallies = make([]tally, pods)
	var begun sync.WaitGroup
	for i := range pods {
		cmd := exec.CommandContext(ctx, program)
		cmd.Env, cmd.Stderr = f.env, os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		f.stops = append(f.stops, in)
		begun.Add(1)
		f.wg.Go(func() {
			f.listen(i, out, sync.OnceFunc(begun.Done))
			_ = cmd.Wait()
		})
	}
	begun.Wait()
	return nil
}

// listen keeps what a pod says, and calls begun when it is the first time or the last.
func (f *fleet) listen(pod int, out io.Reader, begun func()) {
	defer begun()
	for lines := bufio.NewScanner(out); lines.Scan(); begun() {
		var t tally
		if json.Unmarshal(lines.Bytes(), &t) == nil {
			f.mu.Lock()
			f.tallies[pod] = t
			f.mu.Unlock()
		}
	}
}

// stop lets the pods end what they do, and waits for it.
func (f *fleet) stop() {
	for _, in := range f.stops {
		in.Close()
	}
	f.stops = nil
	f.wg.Wait()
}

func (f *fleet) sum() (all tally) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tallies {
		all.Calls, all.Failed, all.Taken = all.Calls+t.Calls, all.Failed+t.Failed, all.Taken+t.Taken
		if t.Fault != "" {
			all.Fault = t.Fault
		}
	}
	return all
}

// watch has the scenario happen and tells of it every second.
func (f *fleet) watch(ctx context.Context, say func(string, ...any), plan scenario, place place) error {
	start := time.Now()
	report := func() {
		t := f.sum()
		say("%5.1f s  %6d calls, %d failed; %d token requests", time.Since(start).Seconds(), t.Calls, t.Failed, f.entra.TokenRequests())
	}
	report()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	kill, restart, end := time.After(plan.kill), time.After(plan.restart), time.After(plan.end)
	for {
		select {
		case <-second.C:
			report()
		case <-kill:
			place.kill()
			say("* %s is killed: each process asks for itself when its token is due", place.name())
		case <-restart:
			if err := place.start(); err != nil {
				return err
			}
			say("* %s is back, with nothing in it", place.name())
		case <-end:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
