// SPDX-License-Identifier: MIT

package consent_test

import (
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
)

// appHost is where the pages of the app are.
const appHost = "app.example"

// newBrowser returns what keeps cookies and follows redirects, between an Entra and the
// pages of an app. There is nothing else in its world.
func newBrowser(entra *entratest.Server, web http.Handler) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil { // which it never returns
		panic(err)
	}
	login := entra.HTTPClient().Transport
	return &http.Client{Jar: jar, Transport: byHost(func(r *http.Request) (*http.Response, error) {
		switch {
		case r.URL.Host == appHost:
			return memhttp.New(web).RoundTrip(r)
		case "https://"+r.URL.Host == entra.Cloud().Authority():
			return login.RoundTrip(r)
		}
		return nil, &net.DNSError{Err: "no such host", Name: r.URL.Host, IsNotFound: true}
	})}
}

type byHost func(*http.Request) (*http.Response, error)

func (f byHost) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// shown is the page that a browser shows.
type shown struct {
	address *url.URL
	status  int
	text    string
}

func show(browser *http.Client, req *http.Request) (*shown, error) {
	resp, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &shown{resp.Request.URL, resp.StatusCode, string(text)}, err
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="form" value="([^"]*)">`)

// answer is the form of Entra's page, filled in.
func (on *shown) answer(decision, tenant string) (*http.Request, error) {
	field := hiddenField.FindStringSubmatch(on.text)
	if field == nil {
		return nil, fmt.Errorf("no form at %s:\n%s", on.address, on.text)
	}
	form := url.Values{"form": {html.UnescapeString(field[1])}, "decision": {decision}, "tenant": {tenant}}
	req, err := http.NewRequest(http.MethodPost, on.address.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", on.address.Scheme+"://"+on.address.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return req, nil
}

// approve is what an administrator does who opens an address. It returns what the app
// says in the end.
func approve(browser *http.Client, address string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	page, err := show(browser, req)
	if err != nil {
		return "", err
	}
	if req, err = page.answer("approve", ""); err != nil {
		return "", err
	}
	page, err = show(browser, req)
	if err != nil {
		return "", err
	}
	return page.text, nil
}
