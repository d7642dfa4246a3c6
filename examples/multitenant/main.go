// SPDX-License-Identifier: MIT

// Multitenant is one app that works for many tenants at once:
//
//	go run ./examples/multitenant
//
// Entra is emulated. In one tenant an administrator has consented to the app, in
// another not yet, a third does not exist, and a fourth nobody has allowed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "multitenant:", kit.Explain(err))
		os.Exit(1)
	}
}

// The tenants. A tenant ID does as well as a domain, and never changes hands.
const (
	installed = "contoso.example"
	waiting   = "fabrikam.example"
	mistyped  = "fabricam.example"
	stranger  = "stranger.example"
)

const jobs = 50 // at once, for each tenant

func run(ctx context.Context, stdout io.Writer) error {
	entra := entratest.NewServer()
	defer entra.Close()
	return tour(ctx, stdout, entra)
}

func tour(ctx context.Context, stdout io.Writer, entra *entratest.Server) error {
	customer := entra.AddTenant(waiting)
	for _, t := range []*entratest.Tenant{entra.AddTenant(installed), customer, entra.AddTenant(stranger)} {
		t.Provide(entra.API())
		if t != customer {
			t.Install(entra.App())
		}
	}

	var asked tally
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
		Cloud:      entra.Cloud(),      // the real Entra needs neither this
		HTTPClient: entra.HTTPClient(), // nor this
		// Without it the client is its own tenant's only: the name of a tenant may
		// come from a request, and must not decide where the app signs in.
		AllowedTenants: []string{installed, waiting, mistyped},
		OnEvent:        func(_ context.Context, ev apponly.Event) { asked.add(ev.TenantID) },
	})
	if err != nil {
		return err
	}
	scope := entra.API().Scope()

	// Every job asks for itself. The client sees to it that Entra is not.
	var served tally
	var failures sync.Map
	var wg sync.WaitGroup
	for range jobs {
		for _, tenant := range []string{installed, waiting, mistyped, stranger} {
			wg.Go(func() {
				if err := job(ctx, client, tenant, scope); err != nil {
					failures.LoadOrStore(tenant, err)
					return
				}
				served.add(tenant)
			})
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	for _, tenant := range []string{installed, waiting, mistyped, stranger} {
		fmt.Fprintf(stdout, "%s: %d of %d jobs done, token requests: %d\n", tenant, served.of(tenant), jobs, asked.of(tenant))
		if err, ok := failures.Load(tenant); ok {
			fmt.Fprintln(stdout, "  "+strings.ReplaceAll(advice(entra.Cloud(), err.(error)), "\n", "\n  "))
		}
	}
	fmt.Fprintln(stdout)
	if err := printStatus(stdout, client, installed, waiting, mistyped); err != nil {
		return err
	}

	// Until the refusal is forgotten, at most 5 minutes, jobs get it without
	// Entra being asked. Who knows that something has changed need not wait.
	customer.Install(entra.App())
	view, err := client.Tenant(waiting)
	if err != nil {
		return err
	}
	if _, err := view.TokenFor(ctx, apponly.TokenRequest{Scope: scope, Force: true}); err != nil {
		return fmt.Errorf("after the consent: %w", err)
	}
	fmt.Fprintf(stdout, "\n%s: its administrator has consented, and there is a token at once\n", waiting)
	return nil
}

// job does something in a tenant; here it only gets the token for it. A view of
// the client for a tenant costs nothing and need not be kept.
func job(ctx context.Context, client *apponly.Client, tenant, scope string) error {
	view, err := client.Tenant(tenant)
	if err != nil {
		return err
	}
	_, err = view.Token(ctx, scope)
	return err
}

// advice says what is wrong in a tenant and who has to do what.
func advice(c cloud.Cloud, err error) string {
	text := kit.Explain(err)
	e, ok := errors.AsType[*apponly.Error](err)
	if ok && errors.Is(err, apponly.ErrAppNotFound) {
		// https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
		text += "\n  an administrator of " + e.TenantID + " opens: " + c.Authority() + "/" + e.TenantID + "/v2.0/adminconsent?" + url.Values{
			"client_id":    {e.ClientID},
			"scope":        {e.Scope},
			"redirect_uri": {"https://app.example.com/consented"}, // one of the registration's
		}.Encode()
	}
	return text
}

// printStatus prints what a health endpoint would tell of each tenant.
func printStatus(stdout io.Writer, client *apponly.Client, tenants ...string) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TENANT\tTOKEN\tFAILURES\tNEXT TRY\tLAST ERROR")
	for _, tenant := range tenants {
		view, err := client.Tenant(tenant)
		if err != nil {
			return err
		}
		for _, s := range view.Status() {
			last := "-"
			if e, ok := errors.AsType[*apponly.Error](s.LastError); ok {
				last = string(e.Kind)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\tin %v\t%s\n", s.TenantID, s.State, s.Failures, time.Until(s.NextTry).Round(time.Second), last)
		}
	}
	return w.Flush()
}

// A tally counts by name. It is safe for concurrent use.
type tally struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func (t *tally) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[name]++
}

func (t *tally) of(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[name]
}
