// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

func TestTour(t *testing.T) {
	tmp := kittest.Isolate(t)
	// In a bubble, so that a machine that is slow forgets no refusal meanwhile.
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		var out kittest.Output
		if err := tour(t.Context(), &out, entra); err != nil {
			t.Fatalf("tour: %v\n%s", err, &out)
		}
		kittest.WantLines(t, out.String(),
			"contoso.example: 50 of 50 jobs done, token requests: 1\n",
			"fabrikam.example: 0 of 50 jobs done, token requests: 1\n",
			"AADSTS7000229", "what to do: "+apponly.ErrAppNotFound.Remedy(), "correlation ID ",
			"an administrator of fabrikam.example opens: "+entra.Cloud().Authority()+"/fabrikam.example/v2.0/adminconsent?client_id="+entra.App().ClientID()+"&redirect_uri=",
			"fabricam.example: 0 of 50 jobs done, token requests: 1\n",
			"AADSTS90002", "what to do: "+apponly.ErrTenantNotFound.Remedy(),
			"stranger.example: 0 of 50 jobs done, token requests: 0\n",
			"not among Options.AllowedTenants",
			"contoso.example   fresh    0 ", "-\n",
			"fabrikam.example  missing  1 ", "app_not_found\n",
			"fabricam.example  missing  1 ", "tenant_not_found\n",
			"fabrikam.example: its administrator has consented",
		)
		kittest.WantNoSecrets(t, out.String(), entra.Secret())

		// The program's own count is not to be trusted alone.
		asked := map[string]int{}
		for _, r := range entra.Requests() {
			if r.Method == http.MethodPost {
				name, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
				asked[name]++
			}
		}
		for name, want := range map[string]int{installed: 1, waiting: 2, mistyped: 1, stranger: 0} {
			if asked[name] != want {
				t.Errorf("Entra was asked %d times about %s, want %d", asked[name], name, want)
			}
		}
	})
	kittest.WantEmpty(t, tmp)
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
