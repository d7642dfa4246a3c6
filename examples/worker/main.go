// SPDX-License-Identifier: MIT

// Worker is a daemon that calls an API twice a second, through an outage of
// Entra and a rotation of its secret, while you watch:
//
//	go run ./examples/worker
//
// It takes 24 seconds and ends by itself, or sooner with Ctrl-C. Entra is
// emulated; it issues tokens of 20 seconds and wants them renewed after 4, so
// that there is something to see (see scenario.go). The daemon itself is all in
// this file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/examples/internal/kit"
	"github.com/apponly/apponly/health"
)

func main() {
	// Ctrl-C, and what a pod gets that is to stop.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, usual)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", kit.Explain(err))
		os.Exit(1)
	}
}

// A worker calls an API every so often.
type worker struct {
	client *apponly.Client
	api    *http.Client
	scope  string
	ready  *health.Check // for /readyz, if the worker were a pod
	url    string
	every  time.Duration

	calls, failed atomic.Int64
	say           func(format string, args ...any)
}

// newWorker returns a worker that proves who it is with the secret in a file.
// The file is read for each token request: a new secret needs no restart.
func newWorker(tenantID, clientID, secretFile, scope, url string, w *world) (*worker, error) {
	client, err := apponly.New(tenantID, clientID, apponly.SecretFile(secretFile), &apponly.Options{
		Cloud:      w.entra.Cloud(),      // the real Entra needs neither this
		HTTPClient: w.entra.HTTPClient(), // nor this
		OnEvent:    func(_ context.Context, ev apponly.Event) { w.log.say("%s", inWords(ev)) },
	})
	if err != nil {
		return nil, err
	}
	rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{
		Base:  w.api,
		Hosts: []string{"api.example.com"}, // an api:// scope does not say where the API is
	})
	if err != nil {
		return nil, err
	}
	return &worker{
		client: client, api: &http.Client{Transport: rt}, scope: scope, url: url,
		ready: &health.Check{Client: client, Scopes: []string{scope}, MinValid: 2 * time.Second}, // tokens last for 20 s here
		every: 500 * time.Millisecond, say: w.log.say,
	}, nil
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) error {
	// Renews the token when it is due even if nobody calls. It fails at once if
	// the scope is none, and otherwise only ends with ctx.
	var wg sync.WaitGroup
	var warm error
	wg.Go(func() { warm = w.client.KeepWarm(ctx, w.scope) })

	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.work(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	wg.Wait()
	if errors.Is(warm, ctx.Err()) {
		return nil
	}
	return warm
}

// work is one piece of work. What has begun when the daemon is told to stop is
// done to its end, within a time limit.
func (w *worker) work(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	w.calls.Add(1)
	if err := w.call(ctx); err != nil {
		w.failed.Add(1)
		w.say("a call failed: %v", err)
	}
}

func (w *worker) call(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return err
	}
	resp, err := w.api.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s answered %s", w.url, resp.Status)
	}
	return nil
}

// inWords says what an event means to who watches. A log would get ev.Err as it
// is: it is one line and holds no secret.
func inWords(ev apponly.Event) string {
	why := ""
	if e, ok := errors.AsType[*apponly.Error](ev.Err); ok {
		why = fmt.Sprintf("%v, HTTP status %d", e.Kind, e.HTTPStatus)
	}
	switch {
	case ev.Kind == apponly.EventTokenRequest && ev.Err != nil:
		return fmt.Sprintf("no new token (%s): %s", ev.Reason, why)
	case ev.Kind == apponly.EventTokenRequest:
		return fmt.Sprintf("a new token (%s), good for %v", ev.Reason, time.Until(ev.ExpiresOn).Round(time.Second))
	case ev.Kind == apponly.EventCredentialChanged:
		return "Entra took the new secret for the first time"
	case ev.Kind == apponly.EventCredentialUnreadable:
		return "the secret cannot be read, the one before it is used: " + why
	}
	return string(ev.Kind) // of certificates, claims and clocks, which this worker has no trouble with
}
