// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
)

// rehearse plays the administrator, all in memory.
func rehearse(ctx context.Context, stdout io.Writer, entra *entratest.Server) error {
	const address = "http://localhost:8080"
	a, err := newApp(stdout, entra, address)
	if err != nil {
		return err
	}
	view, err := a.client.Tenant(a.tenant)
	if err != nil {
		return err
	}
	if _, err := view.Token(ctx, a.scope); err != nil {
		a.say("%v", err)
	}
	browser, err := newBrowser(entra, a.pages(ctx))
	if err != nil {
		return err
	}
	for _, decision := range []string{"cancel", "approve"} {
		fmt.Fprintf(stdout, "an administrator opens %s/connect, and answers: %s\n", address, decision)
		if err := decide(ctx, browser, address+"/connect", decision); err != nil {
			return err
		}
	}
	a.waiting.Wait()
	return context.Cause(ctx)
}

// newBrowser returns one that knows the emulated Entra and the app.
func newBrowser(entra *entratest.Server, app http.Handler) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	return &http.Client{Jar: jar, Transport: byHost{entra.HTTPClient().Transport, memhttp.New(app)}}, err
}

type byHost struct{ entra, app http.RoundTripper }

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "localhost" {
		return b.app.RoundTrip(r)
	}
	return b.entra.RoundTrip(r)
}

var formField = regexp.MustCompile(`name="form" value="([^"]*)"`)

// decide opens an address, and answers the page of Entra that it leads to.
func decide(ctx context.Context, browser *http.Client, address, decision string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := browser.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	field := formField.FindSubmatch(page)
	if field == nil {
		return fmt.Errorf("no form at %s", resp.Request.URL.Host)
	}
	form := url.Values{"form": {html.UnescapeString(string(field[1]))}, "decision": {decision}}
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, resp.Request.URL.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://"+resp.Request.URL.Host)
	resp, err = browser.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
