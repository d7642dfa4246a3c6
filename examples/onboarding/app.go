// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/consent"
)

// An app has one account, which it takes on. It knows from the account's sign-in, or
// from a contract, which tenant is the account's: nothing that comes by the browser says.
type app struct {
	tenant  string
	flow    *consent.Flow
	client  *apponly.Client
	api     *http.Client // without tokens
	apiURL  string
	scope   string
	addTo   func(tenant string) // the customers that the API knows
	log     io.Writer
	waiting sync.WaitGroup

	mu    sync.Mutex // guards state
	state string
}

// pages are those of the app. What they begin ends with ctx.
func (a *app) pages(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.Handle("GET /connect", a.flow.Start(a.tenant))
	mux.Handle("GET /consent/callback", a.flow.Callback(func(w http.ResponseWriter, r *http.Request, res consent.Result) {
		a.finish(ctx, res)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}))
	return mux
}

// finish is told what the browser brings back. That the administrator has consented is
// proved by a token, which may take minutes: nobody waits for it here.
func (a *app) finish(ctx context.Context, res consent.Result) {
	if res.Err != nil {
		a.say("%v", res.Err)
		return
	}
	a.say("the browser says that the administrator has consented, which proves nothing")
	a.waiting.Go(func() {
		if err := a.takeOn(ctx, res.RequestedTenant); err != nil {
			a.say("not connected: %v", err)
		}
	})
}

// takeOn makes a tenant a customer, once there is a token.
func (a *app) takeOn(ctx context.Context, tenant string) error {
	token, err := a.firstToken(ctx, tenant)
	if err != nil {
		return err
	}
	status, err := a.call(ctx, token)
	if err != nil {
		return err
	}
	a.say("the first token has come; the API, which does not know the customer, answers %s", status)
	a.addTo(tenant)
	if status, err = a.call(ctx, token); err != nil {
		return err
	}
	a.say("connected: the API answers %s", status)
	return nil
}

// firstToken waits until Entra knows of the consent everywhere, for at most two minutes.
func (a *app) firstToken(ctx context.Context, tenant string) (apponly.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	view, err := a.client.Tenant(tenant)
	if err != nil {
		return apponly.Token{}, err
	}
	// Force asks Entra although it has refused a moment ago, every 10 seconds at most.
	for pause := 10 * time.Second; ; pause = min(2*pause, 30*time.Second) {
		token, err := view.TokenFor(ctx, apponly.TokenRequest{Scope: a.scope, Force: true})
		if err == nil || errors.Is(err, apponly.ErrCredential) { // which no consent mends
			return token, err
		}
		a.say("no token yet: %v", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return token, err
		}
	}
}

func (a *app) call(ctx context.Context, token apponly.Token) (status string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.apiURL, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token.Value())
	resp, err := a.api.Do(req)
	if err != nil {
		return "", err
	}
	return resp.Status, resp.Body.Close()
}

// say tells whoever watches the program, or looks at its page.
func (a *app) say(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = fmt.Sprintf(format, args...)
	fmt.Fprintln(a.log, "* "+a.state)
}

var homePage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="3">
<title>Onboarding</title>
<style>:root { color-scheme: light dark; } body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }</style>
<h1>Your account</h1>
<p>{{.}}</p>
<p><a href="/connect">Connect your organization</a></p>
</html>
`))

func (a *app) home(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	state := a.state
	a.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	_ = homePage.Execute(w, state) // to a browser that may have gone
}
