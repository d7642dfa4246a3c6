// SPDX-License-Identifier: MIT

// Httpclient is an ordinary http.Client that sends an access token with each
// request, to the hosts it is meant for and to no others:
//
//	go run ./examples/httpclient
//
// Entra is emulated, and so are the hosts (see hosts.go). What a program of your
// own needs is all in this file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "httpclient:", kit.Explain(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer) error {
	entra := entratest.NewServer()
	defer entra.Close()
	return tour(ctx, stdout, entra)
}

func tour(ctx context.Context, stdout io.Writer, entra *entratest.Server) error {
	hosts, err := serveHosts(entra)
	if err != nil {
		return err
	}
	defer hosts.Close()

	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
		Cloud:      entra.Cloud(),      // the real Entra needs neither this
		HTTPClient: entra.HTTPClient(), // nor this
		CAE:        true,               // the API may ask for a token with other claims
		OnEvent: func(_ context.Context, ev apponly.Event) {
			fmt.Fprintf(stdout, "  (Entra was asked for a token: %s)\n", ev.Reason)
		},
	})
	if err != nil {
		return err
	}
	rt, err := apponly.NewTransport(client, entra.API().Scope(), &apponly.TransportOptions{
		Base:  hosts.Client().Transport,    // trusts the certificate of the example
		Hosts: []string{"api.example.com"}, // an api:// scope does not say where the API is
	})
	if err != nil {
		return err
	}
	httpClient := &http.Client{Transport: rt, Timeout: 10 * time.Second}

	for _, r := range []struct{ what, method, url, body string }{
		{"The first request needs a token", "GET", "https://api.example.com/orders", ""},
		{"The next one has it from the cache", "POST", "https://api.example.com/orders", "3 apples"},
		{"An API that wants another token gets it, and the body once more", "POST", "https://api.example.com/payments", "12.50"},
		{"A redirect to another host is followed without the token", "GET", "https://api.example.com/report", ""},
	} {
		fmt.Fprintf(stdout, "%s:\n", r.what)
		if err := call(ctx, stdout, httpClient, r.method, r.url, r.body); err != nil {
			return err
		}
	}

	fmt.Fprintln(stdout, "A request to another host is refused before anything is sent:")
	err = call(ctx, stdout, httpClient, "GET", "https://elsewhere.example.com/", "")
	if !errors.Is(err, apponly.ErrConfiguration) {
		return fmt.Errorf("a request to elsewhere.example.com was not refused: %v", err)
	}
	fmt.Fprintf(stdout, "  %v\n", err)
	return nil
}

// call sends one request and says what came back. It knows nothing of tokens.
func call(ctx context.Context, stdout io.Writer, httpClient *http.Client, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s answered %s: %s", method, url, resp.Status, strings.TrimSpace(string(text)))
	}
	fmt.Fprintf(stdout, "  %s %s: %s\n", method, url, text)
	return nil
}
