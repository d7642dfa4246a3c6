// SPDX-License-Identifier: MIT

package health_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/health"
)

// everything returns all that can be had of a check.
func everything(t *testing.T, title string, c *health.Check) string {
	t.Helper()
	j, err := json.Marshal(c.Now())
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.WriteString(string(j))
	for _, h := range []string{"text/plain", "application/json"} {
		rec := get(c.Handler(), "Accept", h)
		all.WriteString(fmt.Sprint(rec.Header()) + rec.Body.String())
	}
	page := get(health.Page(title, c))
	return all.String() + fmt.Sprint(page.Header()) + html.UnescapeString(page.Body.String()) + fmt.Sprintf("%v %+v %#v %+v", c.Now(), c.Now(), c.Now(), *c)
}

// No secret, token or assertion is in what is told, whether it was taken, refused or could
// not be had.
func TestNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		const wrong = "Wr0ng~canary-secret.that-nobody-knows"
		assertion := w.FederatedToken()
		secrets := []string{w.Secret(), wrong, assertion, strings.Split(assertion, ".")[2]}
		clients := map[string]*apponly.Client{
			"secret": w.client, "wrong secret": w.with(apponly.Secret(wrong), nil),
			"assertion":   w.with(apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) { return assertion, nil })), nil),
			"certificate": w.with(apponly.Certificate([]*x509.Certificate{w.Certificate().Leaf}, w.Certificate().Key, nil), nil),
		}
		for name, c := range clients {
			tok, err := c.Token(t.Context(), w.scope)
			if (err != nil) != (name == "wrong secret") {
				t.Fatalf("%s: %v", name, err)
			}
			if err == nil {
				secrets = append(secrets, tok.Value(), strings.Split(tok.Value(), ".")[2])
			}
		}
		look := func(when string) {
			for name, c := range clients {
				text := everything(t, "canary", &health.Check{Client: c, Scopes: []string{w.scope}})
				if !strings.Contains(text, w.scope) {
					t.Errorf("%s, %s: nothing is told", name, when)
				}
				for _, s := range secrets {
					if strings.Contains(text, s) || strings.Contains(text, url.QueryEscape(s)) {
						t.Errorf("%s, %s: a secret is in\n%s", name, when, text)
					}
				}
			}
		}
		look("at first")
		w.App().Remove()
		time.Sleep(50 * time.Minute)
		for _, c := range clients {
			c.Token(t.Context(), w.scope)
		}
		synctest.Wait()
		look("refused")
		time.Sleep(20 * time.Minute)
		look("expired")
	})
}

var tags = regexp.MustCompile(`(?i)<(script|img|svg|iframe|a [^>]*javascript)`)

// What comes from elsewhere is text on the page, in one line in a probe.
func TestHostileText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'`
	w := newWorld(t, nil)
	scopes := []string{"api://<script>alert(1)</script>/.default", evil, "https://x.example/\r\nSet-Cookie: x/.default", "javascript:alert(1)//.default"}
	client := w.with(apponly.SecretFunc(func(context.Context) (string, error) { return "", errors.New(evil + "\r\nready everything") }), nil)
	client.Warm(t.Context(), scopes...)
	c := &health.Check{Client: client, Scopes: scopes}
	page := get(health.Page(evil, c)).Body.String()
	if tag := tags.FindString(page); tag != "" || strings.Contains(page, "onerror=alert(2)>") {
		t.Errorf("%q is in\n%s", tag, page)
	}
	for _, text := range append(scopes[:2:2], "onerror=alert(2)", "ready everything") {
		if !strings.Contains(html.UnescapeString(page), text) {
			t.Errorf("%q is missing from\n%s", text, page)
		}
	}
	body := get(c.Handler()).Body.String()
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "not-ready ") {
			t.Errorf("a line that is not ours: %q", line)
		}
	}
	if n := strings.Count(body, "\n"); n != len(scopes) {
		t.Errorf("%d lines for %d scopes", n, len(scopes))
	}
}

// The link of an error leads where its text says.
func TestLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.App().RemoveSecret(w.Secret())
		_, err := w.token()
		_, address, _ := strings.Cut(err.Error(), "; see ")
		page := get(health.Page("links", w.check())).Body.String()
		if want := `href="https://` + address + `"`; address == "" || !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
		if !strings.Contains(html.UnescapeString(page), apponly.ErrSecretInvalid.Remedy()) || !strings.Contains(page, "(AADSTS7000215)") || strings.Contains(page, "; tenant ") {
			t.Errorf("what is wrong and what to do is not told, or around it what the table says:\n%s", page)
		}
	})
}
