// SPDX-License-Identifier: MIT

// Quickstart gets a token, calls an API with it, and is refused once. Entra and the
// API are emulated in this process:
//
//	go run ./examples/quickstart
//
// With AZURE_CLIENT_ID set it asks the real Entra for a token for APPONLY_SCOPE, by
// default Microsoft Graph's, as the environment says (see apponly.FromEnv).
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "quickstart: %+v\n", err) // %+v says what to do about it
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	if os.Getenv("AZURE_CLIENT_ID") == "" {
		entra := entratest.NewServer()
		defer entra.Close()
		return tour(ctx, out, entra)
	}
	fmt.Fprintln(out, apponly.ExplainEnv(nil)) // which variables decide
	client, err := apponly.FromEnv(nil)
	if err != nil {
		return err
	}
	scope := cmp.Or(os.Getenv("APPONLY_SCOPE"), "https://graph.microsoft.com/.default")
	token, err := client.Token(ctx, scope)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Got a token for %s, good until %s.\n", scope, token.ExpiresOn().UTC().Format(time.RFC3339))
	return nil
}

// tour does it all with an emulated Entra, and an API that trusts it.
func tour(ctx context.Context, out io.Writer, entra *entratest.Server) error {
	orders := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	api := httptest.NewTLSServer(entra.API().Protect(orders, "Data.Read.All"))
	defer api.Close()
	tenantID, clientID, scope := entra.Tenant().ID(), entra.App().ClientID(), entra.API().Scope()
	opts := &apponly.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient()} // nil for the real Entra

	client, err := apponly.New(tenantID, clientID, apponly.Secret(entra.Secret()), opts)
	if err != nil {
		return err
	}
	token, err := client.Token(ctx, scope) // each time you need one: the client keeps it
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Got a token, good until %s.\n", token.ExpiresOn().UTC().Format(time.RFC3339))

	// An http.Client with this transport attaches the token and knows nothing of it.
	transport, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{
		Base:  api.Client().Transport,                 // trusts the certificate of the emulated API
		Hosts: []string{api.Listener.Addr().String()}, // an api:// scope does not say where its API is
	})
	if err != nil {
		return err
	}
	httpClient := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := httpClient.Get(api.URL + "/orders")
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /orders answered %s, want 200", resp.Status)
	}
	fmt.Fprintf(out, "GET /orders answered %s.\n", resp.Status)

	// A refusal is an error with a kind to compare with, and a remedy.
	mistyped, err := apponly.New(tenantID, clientID, apponly.Secret("this-is-not-the-secret"), opts)
	if err != nil {
		return err
	}
	_, err = mistyped.Token(ctx, scope)
	refusal, ok := errors.AsType[*apponly.Error](err)
	if !ok || !errors.Is(err, apponly.ErrSecretInvalid) {
		return fmt.Errorf("a wrong secret gave %v, want ErrSecretInvalid", err)
	}
	fmt.Fprintf(out, "A wrong secret is refused, and errors.Is(err, apponly.ErrSecretInvalid) holds:\n  %v\n", err)
	fmt.Fprintf(out, "  what to do: %s\n  for support: correlation ID %s\n", refusal.Kind.Remedy(), refusal.CorrelationID)
	return nil
}
