// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

func TestTour(t *testing.T) {
	tmp := kittest.Isolate(t)
	entra := entratest.New(t)
	var out kittest.Output
	if err := tour(t.Context(), &out, entra); err != nil {
		t.Fatalf("tour: %v\n%s", err, &out)
	}
	kittest.WantLines(t, out.String(),
		"(Entra was asked for a token: miss)",
		"GET https://api.example.com/orders: no orders yet",
		"POST https://api.example.com/orders: ordered 3 apples",
		"(Entra was asked for a token: claims)",
		"POST https://api.example.com/payments: paid 12.50",
		"GET https://api.example.com/report: a report, to a request with 0 tokens",
		"refused before anything is sent", "elsewhere.example.com: its hosts are api.example.com",
	)
	if got := strings.Count(out.String(), "Entra was asked"); got != 2 || entra.TokenRequests() != 2 {
		t.Errorf("Entra was asked %d times, %d by its own record; want 2", got, entra.TokenRequests())
	}
	kittest.WantNoSecrets(t, out.String(), entra.Secret())
	kittest.WantEmpty(t, tmp)
}

func TestTourFails(t *testing.T) {
	kittest.Isolate(t)
	entra := entratest.New(t)
	entra.App().RemoveSecret(entra.Secret())
	var out kittest.Output
	err := tour(t.Context(), &out, entra)
	if !errors.Is(err, apponly.ErrSecretInvalid) {
		t.Fatalf("tour = %v, want ErrSecretInvalid", err)
	}
	kittest.WantNoSecrets(t, out.String()+err.Error(), entra.Secret())
}

func TestRun(t *testing.T) {
	kittest.Isolate(t)
	if err := run(t.Context(), io.Discard); err != nil {
		t.Errorf("run: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("run with an ended context = %v, want context.Canceled", err)
	}
}
