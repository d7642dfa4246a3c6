// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
	"github.com/apponly/apponly/verify"
)

// A scenario says when what happens, counted from the start.
type scenario struct {
	outage, recovery, rotation, end time.Duration
}

// usual is what is shown: an outage well within the life of a token. Nothing
// happens at the very moment of a call, so that the same is seen each time.
var usual = scenario{
	outage:   6200 * time.Millisecond,
	recovery: 14200 * time.Millisecond,
	rotation: 16200 * time.Millisecond,
	end:      24200 * time.Millisecond,
}

const (
	tokenLifetime = 20 * time.Second
	refreshIn     = 4 * time.Second
)

// A world is what is around the worker. All of it is in memory and all its time
// is that of package time, so that a test need not wait for it.
type world struct {
	entra *entratest.Server
	api   http.RoundTripper
	log   *timeline
}

// run has a worker work in a world in which a scenario happens.
func run(ctx context.Context, stdout io.Writer, plan scenario) error {
	entra := entratest.NewServer()
	defer entra.Close()
	return watch(ctx, stdout, plan, entra)
}

func watch(ctx context.Context, stdout io.Writer, plan scenario, entra *entratest.Server) error {
	w, err := newWorld(ctx, stdout, entra)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "apponly-worker-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	secretFile := filepath.Join(dir, "client-secret")
	if err := replace(secretFile, entra.Secret()); err != nil {
		return err
	}
	worker, err := newWorker(entra.Tenant().ID(), entra.App().ClientID(), secretFile, entra.API().Scope(), "https://api.example.com/orders", w)
	if err != nil {
		return err
	}

	w.log.say("* the worker calls an API every %v", worker.every)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var scripted error
	wg.Go(func() {
		defer stop()
		scripted = w.play(ctx, plan, secretFile, worker)
	})
	err = worker.run(ctx)
	stop()
	wg.Wait()
	calls, failed := worker.calls.Load(), worker.failed.Load()
	w.log.say("* stopped after %d calls; %d failed", calls, failed)
	switch {
	case err != nil:
		return err
	case scripted != nil:
		return scripted
	case failed > 0:
		return fmt.Errorf("%d of %d calls failed", failed, calls)
	}
	return nil
}

// play makes the scenario happen, until ctx ends. The secrets are exchanged in
// the order that holds for real ones, only that there it takes minutes: Entra has
// to spread a new one, Kubernetes to bring it into the pod.
func (w *world) play(ctx context.Context, plan scenario, secretFile string, worker *worker) error {
	old := w.entra.Secret()
	for _, step := range []struct {
		at   time.Duration
		what string
		do   func() error
	}{
		{plan.outage, "Entra is out of order: it answers 503 from now on", func() error {
			_, err := w.entra.AddFault(entratest.Fault{Endpoint: "token", Status: http.StatusServiceUnavailable})
			return err
		}},
		{plan.recovery, "Entra is back", func() error { w.entra.ClearFaults(); return nil }},
		{plan.rotation, "the secret is rotated: a new one is in the file, Entra knows the old one no more", func() error {
			fresh := w.entra.App().NewSecret(time.Now().Add(time.Hour))
			if err := replace(secretFile, fresh); err != nil {
				return err
			}
			w.entra.App().RemoveSecret(old)
			return nil
		}},
		{plan.end, "that was all", func() error { return nil }},
	} {
		select {
		case <-time.After(step.at - time.Since(w.log.start)):
		case <-ctx.Done():
			return nil
		}
		w.log.say("* %s (%d calls so far, %d failed; the worker is %s)", step.what, worker.calls.Load(), worker.failed.Load(), worker.ready.Now().Verdict)
		if err := step.do(); err != nil {
			return err
		}
	}
	return nil
}

func newWorld(ctx context.Context, stdout io.Writer, entra *entratest.Server) (*world, error) {
	entra.SetTokenLifetime(tokenLifetime)
	entra.SetRefreshIn(refreshIn)
	verifier, err := verify.New(entra.API().AppID(), []verify.Rule{
		{Tenant: entra.Tenant().ID(), Roles: []string{"Data.Read.All"}},
	}, &verify.Options{
		Cloud:      entra.Cloud(),
		HTTPClient: entra.HTTPClient(),
		Leeway:     -1, // an expired token must not go unnoticed
	})
	if err != nil {
		return nil, fmt.Errorf("protected API: %w", err)
	}
	// Now, as the outage is one of the worker's and not of the API's.
	if err := verifier.Warm(ctx); err != nil {
		return nil, fmt.Errorf("protected API: %w", err)
	}
	return &world{
		entra: entra,
		api: memhttp.New(verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "no orders")
		}))),
		log: &timeline{stdout: stdout, start: time.Now()},
	}, nil
}

// replace writes a file the way Kubernetes does: nobody sees half of it.
func replace(path, content string) error {
	next := path + ".next"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// A timeline prints lines with the time since the start. It is safe for
// concurrent use.
type timeline struct {
	mu     sync.Mutex // guards stdout
	stdout io.Writer
	start  time.Time
}

func (l *timeline) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.stdout, "%5.1f s  %s\n", time.Since(l.start).Seconds(), fmt.Sprintf(format, args...))
}
