// SPDX-License-Identifier: MIT

// Ci is a step of a CI job that calls an API as an app, and there is no secret for it
// anywhere: the CI system says which job this is, and the app trusts that by a federated
// credential. The workflow files beside it are for GitHub Actions, Azure Pipelines and
// GitLab.
//
//	go run ./examples/ci
//
// plays all three of them with an emulated Entra, and -emulate github one of them. Where
// AZURE_CLIENT_ID or APPONLY_CREDENTIAL is set the job is real.
//
// It reads APPONLY_SCOPE and APPONLY_URL besides what apponly.FromEnv reads.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/examples/internal/kit"
)

func main() {
	platform := flag.String("emulate", "", "play a job of `github`, azure or gitlab")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *platform)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ci:", kit.Explain(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, platform string) error {
	// In a job that says how it proves itself a missing ID is a mistake, never a reason
	// to emulate.
	if platform != "" || os.Getenv("AZURE_CLIENT_ID") == "" && os.Getenv("APPONLY_CREDENTIAL") == "" {
		return rehearse(ctx, out, platform)
	}
	return step(ctx, out, nil, http.DefaultTransport)
}

// step is what the job is for: one request to the API. In a real job opts are nil.
func step(ctx context.Context, out io.Writer, opts *apponly.Options, base http.RoundTripper) error {
	fmt.Fprintln(out, apponly.ExplainEnv(opts)) // names of variables, fit for the job's log
	client, err := apponly.FromEnv(opts)
	if err != nil {
		return err
	}
	scope := cmp.Or(os.Getenv("APPONLY_SCOPE"), "https://graph.microsoft.com/.default")
	token, err := client.Token(ctx, scope)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Got a token for %s, good until %s.\n", scope, token.ExpiresOn().UTC().Format(time.RFC3339))
	target := os.Getenv("APPONLY_URL")
	if target == "" {
		return nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("APPONLY_URL: %w", err)
	}
	rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{Base: base, Hosts: []string{u.Host}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fmt.Errorf("APPONLY_URL: %w", err)
	}
	resp, err := (&http.Client{Transport: rt, Timeout: time.Minute}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s answered %s, want 200", u.Redacted(), resp.Status) // the job has failed
	}
	fmt.Fprintf(out, "GET %s answered %s.\n", u.Redacted(), resp.Status)
	return nil
}
