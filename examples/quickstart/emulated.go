// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
)

// A demo is an emulated Entra, a protected API that trusts it, and what the
// app's clients are built with.
type demo struct {
	stdout io.Writer
	server *entratest.Server
	opts   *apponly.Options
	api    string // base URL
}

// askEmulator runs the tour.
func askEmulator(ctx context.Context, stdout io.Writer) error {
	server := entratest.NewServer()
	defer server.Close()
	return tour(ctx, stdout, server)
}

func tour(ctx context.Context, stdout io.Writer, server *entratest.Server) error {
	authority, roots := server.StartTLS()
	// Real TLS to an authority of our own. For the real Entra neither Cloud nor
	// HTTPClient is needed.
	tlsTransport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer tlsTransport.CloseIdleConnections()
	d := &demo{stdout: stdout, server: server, opts: &apponly.Options{
		Cloud:      server.Cloud(),
		HTTPClient: &http.Client{Transport: tlsTransport},
	}}
	api, err := kit.NewAPI(ctx, d.opts.HTTPClient, authority+"/"+server.Tenant().ID()+"/v2.0", server.API().AppID(), time.Minute)
	if err != nil {
		return fmt.Errorf("protected API: %w", err)
	}
	base, stop, err := serve(orders(api))
	if err != nil {
		return fmt.Errorf("protected API: %w", err)
	}
	defer stop()
	d.api = base
	d.say("An emulated Entra listens at %s, a protected API at %s.", authority, base)
	d.say("The app %s has the role Data.Read.All on it, and not Data.Write.All.", server.App().ClientID())

	dir, err := os.MkdirTemp("", "apponly-quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	certificate := filepath.Join(dir, "client.pem")
	federated := filepath.Join(dir, "federated-token")
	if err := errors.Join(
		os.WriteFile(certificate, server.Certificate().PEM(), 0o600),
		os.WriteFile(federated, []byte(server.FederatedToken()), 0o600),
	); err != nil {
		return err
	}

	if err := d.call(ctx, http.DefaultClient, "Without a token", http.MethodGet, http.StatusUnauthorized); err != nil {
		return err
	}
	for _, way := range []struct {
		name string
		cred apponly.Credential
	}{
		{"a secret", apponly.Secret(server.Secret())},
		{"a certificate file", apponly.CertificateFile(certificate, nil)},
		{"a federated token file", apponly.Federated(apponly.AssertionFile(federated))},
	} {
		if err := d.useAPI(ctx, way.name, way.cred); err != nil {
			return fmt.Errorf("with %s: %w", way.name, err)
		}
	}
	return d.wrongSecret(ctx)
}

// orders is an API that lets apps read orders that have Data.Read.All, and place
// one that have Data.Write.All.
func orders(api *kit.API) http.Handler {
	served := func(w http.ResponseWriter, r *http.Request, app string) { fmt.Fprintf(w, "served to app %s", app) }
	mux := http.NewServeMux()
	mux.Handle("GET /orders", api.Protect("Data.Read.All", served))
	mux.Handle("POST /orders", api.Protect("Data.Write.All", served))
	return mux
}

// serve runs an API on a free port of this machine, over plain http: fit for
// loopback only. stop ends it.
func serve(api http.Handler) (base string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln) // always an error: that it was closed
	}()
	return "http://" + ln.Addr().String(), func() { _ = server.Close(); <-done }, nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.stdout, format+"\n", args...) }

// client is how any program gets one: who it is, how it proves it.
func (d *demo) client(cred apponly.Credential) (*apponly.Client, error) {
	return apponly.New(d.server.Tenant().ID(), d.server.App().ClientID(), cred, d.opts)
}

// useAPI gets a token with a credential, then calls the API with it: by an
// ordinary http.Client, which needs to know nothing of tokens.
func (d *demo) useAPI(ctx context.Context, name string, cred apponly.Credential) error {
	d.say("\nWith %s:", name)
	client, err := d.client(cred)
	if err != nil {
		return err
	}
	before := d.server.TokenRequests()
	token, err := client.Token(ctx, d.server.API().Scope())
	if err != nil {
		return err
	}
	d.say("  Got a token, good until %s.", token.ExpiresOn().UTC().Format(time.RFC3339))

	u, err := url.Parse(d.api)
	if err != nil {
		return err
	}
	rt, err := apponly.NewTransport(client, d.server.API().Scope(), &apponly.TransportOptions{
		Hosts:             []string{u.Host}, // an api:// scope does not say where the API is
		AllowLoopbackHTTP: true,             // the API of this program has no certificate
	})
	if err != nil {
		return err
	}
	httpClient := &http.Client{Transport: rt}
	if err := d.call(ctx, httpClient, "  Role granted", http.MethodGet, http.StatusOK); err != nil {
		return err
	}
	if err := d.call(ctx, httpClient, "  Role missing", http.MethodPost, http.StatusForbidden); err != nil {
		return err
	}
	asked := d.server.TokenRequests() - before
	if asked != 1 {
		return fmt.Errorf("entra was asked %d times, want once", asked)
	}
	d.say("  Entra was asked once; the calls took the token from the cache.")
	return nil
}

// call sends one request to the API and says what came back.
func (d *demo) call(ctx context.Context, httpClient *http.Client, what, method string, want int) error {
	req, err := http.NewRequestWithContext(ctx, method, d.api+"/orders", nil)
	if err != nil {
		return err
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != want {
		return fmt.Errorf("%s /orders answered %s, want %d: %s", method, resp.Status, want, text)
	}
	d.say("%s: %s /orders answered %s: %s.", what, method, resp.Status, text)
	return nil
}

// wrongSecret shows how a refusal looks to a program: an error with a kind to
// compare with, and a remedy for whoever reads the log.
func (d *demo) wrongSecret(ctx context.Context) error {
	d.say("\nWith a wrong secret:")
	client, err := d.client(apponly.Secret("this-is-not-the-secret"))
	if err != nil {
		return err
	}
	_, err = client.Token(ctx, d.server.API().Scope())
	if err == nil {
		return errors.New("a wrong secret was good for a token")
	}
	if !errors.Is(err, apponly.ErrSecretInvalid) {
		return fmt.Errorf("a wrong secret gave another error than ErrSecretInvalid: %w", err)
	}
	d.say("  Refused, and errors.Is(err, apponly.ErrSecretInvalid) holds.")
	d.say("  %s", strings.ReplaceAll(kit.Explain(err), "\n", "\n  "))
	return nil
}
