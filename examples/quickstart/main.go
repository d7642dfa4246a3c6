// SPDX-License-Identifier: MIT

// Quickstart shows what apponly does, on a machine with nothing but Go:
//
//	go run ./examples/quickstart
//
// It starts an emulated Entra and a protected API in its own process, proves
// who the app is by a secret, by a certificate and by a federated token, calls
// the API, and shows how refusals look.
//
// With AZURE_CLIENT_ID set it asks the real Entra instead, as the environment
// says (see apponly.FromEnv): for a token for APPONLY_SCOPE, by default
// Microsoft Graph's, and with APPONLY_URL set for one GET with it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/apponly/apponly/examples/internal/kit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", kit.Explain(err))
		os.Exit(1)
	}
}

// run does everything main is about, so that a test can do it, too.
func run(ctx context.Context, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if os.Getenv("AZURE_CLIENT_ID") != "" {
		return askEntra(ctx, stdout)
	}
	return askEmulator(ctx, stdout)
}
