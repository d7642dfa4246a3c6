// SPDX-License-Identifier: MIT

// Pod is a daemon for Kubernetes that takes its identity from its environment.
// The manifests beside it give it one of three credentials; README.md says how.
//
//	go run ./examples/pod
//
// does the same on a machine with nothing but Go: outside a cluster and without
// AZURE_CLIENT_ID it sets up an environment of its own, with an emulated Entra.
//
// It reads APPONLY_SCOPE, APPONLY_URL and LISTEN_ADDR besides what
// apponly.FromEnv reads.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
	"github.com/apponly/apponly/health"
)

// listenAddr is where the probes are served unless LISTEN_ADDR says otherwise.
const listenAddr = ":8080"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pod:", kit.Explain(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer) error {
	// In a cluster a missing variable is a mistake, never a reason to emulate.
	if os.Getenv("KUBERNETES_SERVICE_HOST") == "" && os.Getenv("AZURE_CLIENT_ID") == "" {
		entra := entratest.NewServer()
		defer entra.Close()
		return rehearse(ctx, stdout, entra)
	}
	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("LISTEN_ADDR"), listenAddr))
	if err != nil {
		return err
	}
	return serve(ctx, stdout, ln, http.DefaultTransport)
}

// A pod is a client and what it is used for.
type pod struct {
	log    *slog.Logger
	client *apponly.Client
	scope  string
	url    string // what to call; "" for nothing
	http   *http.Client
}

// serve does the work of the pod until ctx ends. Probes come to ln, calls to the
// API go out over base.
func serve(ctx context.Context, stdout io.Writer, ln net.Listener, base http.RoundTripper) error {
	defer ln.Close()
	// What to look at first if the pod does not get ready.
	fmt.Fprintf(stdout, "What the environment says:\n%s\n", apponly.ExplainEnv(nil))
	log := slog.New(slog.NewTextHandler(stdout, nil))
	client, err := apponly.FromEnv(&apponly.Options{Logger: log}) // it says what failed and what was rotated
	if err != nil {
		return err
	}
	scope := cmp.Or(os.Getenv("APPONLY_SCOPE"), "https://graph.microsoft.com/.default")
	opts := &apponly.TransportOptions{Base: base}
	target := os.Getenv("APPONLY_URL")
	if target != "" {
		// Most scopes do not say where their API is; who deploys the pod does.
		u, err := url.Parse(target)
		if err != nil {
			return fmt.Errorf("APPONLY_URL: %w", err)
		}
		opts.Hosts = []string{u.Host}
	}
	rt, err := apponly.NewTransport(client, scope, opts)
	if err != nil {
		return err
	}
	p := &pod{
		log: log, client: client, scope: scope, url: target,
		http: &http.Client{Transport: rt, Timeout: 20 * time.Second}, // within terminationGracePeriodSeconds
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{Handler: p.probes(), ReadHeaderTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	var served error
	wg.Go(func() {
		defer stop() // without probes the pod is as good as dead
		served = server.Serve(ln)
	})
	wg.Go(func() { _ = client.KeepWarm(ctx, scope) }) // ends with ctx; /readyz shows its failures
	wg.Go(func() { p.work(ctx) })
	<-ctx.Done()

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(last) // probes under way get their answers
	wg.Wait()
	if served != http.ErrServerClosed {
		return served
	}
	log.Info("stopped")
	return err
}

// probes serves /healthz and /readyz, and /statusz for people.
//
// The first is about the process alone: to restart it mends no outage of Entra
// and no wrong secret. The second is about its token: while there is none the pod
// should get no traffic, and as long as there is one it should, whatever becomes
// of Entra meanwhile. The third names the tenant and the app, as the second does
// when it has an error: no Service or Ingress should lead to this port.
func (p *pod) probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	ready := &health.Check{Client: p.client, Scopes: []string{p.scope}}
	mux.Handle("/readyz", ready.Handler())
	mux.Handle("/statusz", health.Page("apponly-pod", ready))
	return mux
}

// work calls the API once. It waits for a token first, for as long as that takes:
// a daemon that ends because Entra does not answer adds a restart loop to the
// outage.
func (p *pod) work(ctx context.Context) {
	for p.client.Warm(ctx, p.scope) != nil { // the client has logged why
		select {
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return
		}
	}
	p.log.Info("ready", "scope", p.scope)
	if p.url != "" {
		// What has begun when the pod is told to stop is done to its end.
		if err := p.call(context.WithoutCancel(ctx)); err != nil {
			p.log.Error("call failed", "error", err)
		}
	}
}

func (p *pod) call(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return fmt.Errorf("APPONLY_URL: %w", err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	p.log.Info("called", "url", req.URL.Redacted(), "status", resp.Status)
	return nil
}
