// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/consent"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
	"github.com/apponly/apponly/verify"
)

// lag is how long the emulated directory takes to know of a consent everywhere.
const lag = 4 * time.Second

// newApp returns the app at an address of its own. Around it are an API, and a customer
// whose tenant has that API and does not know the app.
func newApp(stdout io.Writer, entra *entratest.Server, address string) (*app, error) {
	customer := entra.AddTenant("customer.example")
	customer.Provide(entra.API())
	entra.App().AddRedirectURI(address + "/consent/callback")
	entra.SetPropagation(lag)

	var customers sync.Map // a table of the API's, in a program
	api, err := verify.New(entra.API().AppID(), []verify.Rule{{
		TenantFunc: func(_ context.Context, tenant string) (bool, error) { _, ok := customers.Load(tenant); return ok, nil },
		Roles:      []string{"Data.Read.All"},
	}}, &verify.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient()})
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32) // in a program, one that all replicas have
	rand.Read(key)
	flow, err := consent.New(consent.Config{
		Cloud: entra.Cloud(), ClientID: entra.App().ClientID(), RedirectURL: address + "/consent/callback",
		Scope: entra.API().Scope(), Keys: [][]byte{key},
	})
	if err != nil {
		return nil, err
	}
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
		Cloud:          entra.Cloud(),      // the real Entra needs neither this
		HTTPClient:     entra.HTTPClient(), // nor this
		AllowedTenants: []string{customer.ID()},
	})
	if err != nil {
		return nil, err
	}
	orders := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	a := &app{
		tenant: customer.ID(), flow: flow, client: client, scope: entra.API().Scope(), log: stdout,
		api: &http.Client{Transport: memhttp.New(api.Middleware(orders))}, apiURL: "https://orders.example/",
		addTo: func(tenant string) { customers.Store(tenant, nil) },
	}
	a.say("the account is not connected")
	return a, nil
}

// serve is for an administrator at a browser.
func serve(ctx context.Context, stdout io.Writer, entra *entratest.Server) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return serveOn(ctx, stdout, entra, ln)
}

func serveOn(ctx context.Context, stdout io.Writer, entra *entratest.Server, ln net.Listener) error {
	authority, _ := entra.StartTLS()
	address := "http://" + ln.Addr().String()
	a, err := newApp(stdout, entra, address)
	if err != nil {
		ln.Close()
		return err
	}
	fmt.Fprintf(stdout, "open %s\nthe emulated Entra is at %s: your browser does not know its certificate, and asks\n", address, authority)
	server := &http.Server{Handler: a.pages(ctx), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	err = server.Serve(ln)
	a.waiting.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
