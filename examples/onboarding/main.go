// SPDX-License-Identifier: MIT

// Onboarding takes a customer on: an administrator of the customer's tenant lets an app
// in, and the app calls an API for it.
//
//	go run ./examples/onboarding         # you are the administrator; Ctrl-C ends it
//	go run ./examples/onboarding -auto   # it plays the administrator, and ends
//
// Entra is emulated, and the API is in this process, too (see world.go). The app itself
// is all in app.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
)

func main() {
	auto := flag.Bool("auto", false, "play the administrator as well, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *auto)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "onboarding:", kit.Explain(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer, auto bool) error {
	entra := entratest.NewServer()
	defer entra.Close()
	if auto {
		return rehearse(ctx, stdout, entra)
	}
	return serve(ctx, stdout, entra)
}
