// SPDX-License-Identifier: MIT

package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/apponly/apponly"
)

// A tokenQuestion is the body of POST /v1/token.
type tokenQuestion struct {
	Scope  string `json:"scope"`
	App    string `json:"app"`
	Tenant string `json:"tenant"`
	Claims string `json:"claims"`
	// RejectedSHA256 is the hash, in hexadecimal, of the token that an API refused. Who
	// has another one by then gets it without a token request, and no token travels back.
	RejectedSHA256 string `json:"rejected_sha256"`
	Force          bool   `json:"force"`
}

type tokenAnswer struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresOn   time.Time `json:"expires_on"`
	RefreshOn   time.Time `json:"refresh_on"`
	// Shared says that another process has obtained it; see apponly.TokenStatus.
	Shared bool `json:"shared"`
}

// An oauthAnswer is that of RFC 6749 section 5.1.
type oauthAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// token is POST /v1/token.
func (c *call) token() ([]byte, string, *refusal) {
	if c.r.URL.RawQuery != "" {
		return nil, "", refused(http.StatusBadRequest, invalidRequest, "parameters belong into the body: URLs are logged")
	}
	data, form, no := c.body()
	switch {
	case no != nil:
		return nil, "", no
	case form:
		return c.oauth(string(data))
	}
	if no := c.authenticate(headerSecret(c.r.Header)); no != nil {
		return nil, "", no
	}
	return c.question(data)
}

func (c *call) question(data []byte) ([]byte, string, *refusal) {
	var q tokenQuestion
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return nil, "", refused(http.StatusBadRequest, invalidRequest, "the body is not an object with scope and optionally app, tenant, claims, rejected_sha256 and force")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, "", refused(http.StatusBadRequest, invalidRequest, "there is more than one object in the body")
	}
	rejected, err := hex.DecodeString(q.RejectedSHA256)
	if err != nil || len(rejected) != 0 && len(rejected) != sha256.Size {
		return nil, "", refused(http.StatusBadRequest, invalidRequest, "want rejected_sha256 as 64 hexadecimal digits")
	}
	if no := c.permitNamed(q.App, q.Scope, http.StatusForbidden); no != nil {
		return nil, "", no
	}
	var shared bool
	t, no := c.get(func(ctx context.Context, client *apponly.Client) (apponly.Token, error) {
		if q.Tenant != "" {
			var err error
			if client, err = client.Tenant(q.Tenant); err != nil {
				return apponly.Token{}, err
			}
		}
		t, err := bypass(ctx, client, q, rejected)
		shared = err == nil && isShared(client, q.Scope, t)
		return t, err
	})
	if no != nil {
		return nil, "", no
	}
	return c.managedBody(&tokenAnswer{
		AccessToken: t.Value(), TokenType: "Bearer", ExpiresOn: t.ExpiresOn().UTC().Round(0), RefreshOn: t.RefreshOn().UTC().Round(0), Shared: shared,
	})
}

// bypass gets the token that a question asks for.
func bypass(ctx context.Context, client *apponly.Client, q tokenQuestion, rejected []byte) (apponly.Token, error) {
	req := apponly.TokenRequest{Scope: q.Scope, Claims: q.Claims, Force: q.Force}
	if len(rejected) > 0 {
		t, err := client.Token(ctx, q.Scope)
		if err != nil {
			return t, err
		}
		if hash := sha256.Sum256([]byte(t.Value())); !bytes.Equal(hash[:], rejected) {
			return t, nil
		}
		req.Rejected = t
	}
	return client.TokenFor(ctx, req)
}

// isShared looks for the token in the status of its client.
func isShared(client *apponly.Client, scope string, t apponly.Token) bool {
	for _, s := range client.Status() {
		if s.Scope == scope {
			return s.Shared && s.ExpiresOn.Equal(t.ExpiresOn())
		}
	}
	return false
}

// permitNamed is permit for an app that the caller has named. status is for an app that
// there is not: a caller who may not use it is told the same.
func (c *call) permitNamed(name, scope string, status int) *refusal {
	app, found := c.findApp(c.who, name)
	switch {
	case scope == "":
		return refused(http.StatusBadRequest, invalidRequest, "the scope is missing")
	case !found || !mayUse(c.cfg.Callers, c.who, app):
		code := accessDenied
		if status == http.StatusUnauthorized {
			code = invalidClient
		}
		return refused(status, code, "this caller may not use such an app")
	}
	return c.permit(app, scope)
}

// oauth is the client credentials grant of RFC 6749 section 4.4, with the header secret
// as client_secret and the client ID or name of an app as client_id.
func (c *call) oauth(body string) ([]byte, string, *refusal) {
	form, no := once(body)
	if no != nil {
		return nil, "", no
	}
	id, secret, no := oauthClient(c.r, form)
	if no == nil {
		no = c.authenticate(secret)
	}
	switch {
	case no != nil:
		return nil, "", no
	case form.Get("grant_type") != "client_credentials":
		return nil, "", refused(http.StatusBadRequest, "unsupported_grant_type", "want grant_type=client_credentials")
	}
	if no := c.permitNamed(id, form.Get("scope"), http.StatusUnauthorized); no != nil {
		return nil, "", no
	}
	t, no := c.cached()
	if no != nil {
		return nil, "", no
	}
	return c.managedBody(&oauthAnswer{
		AccessToken: t.Value(), TokenType: "Bearer", ExpiresIn: max(0, int(time.Until(t.ExpiresOn())/time.Second)), Scope: c.scope,
	})
}

// oauthClient returns what the client says who it is: by HTTP Basic, by the form or by
// the header, and by one of them.
func oauthClient(r *http.Request, form url.Values) (id, secret string, no *refusal) {
	id, secret = form.Get("client_id"), form.Get("client_secret")
	ways := 0
	if secret != "" {
		ways++
	}
	if h := headerSecret(r.Header); h != "" {
		secret, ways = h, ways+1
	}
	if r.Header.Get("Authorization") != "" {
		user, password, ok := r.BasicAuth()
		name, err1 := url.QueryUnescape(user) // section 2.3.1: encoded before Basic is
		pass, err2 := url.QueryUnescape(password)
		if !ok || err1 != nil || err2 != nil {
			return "", "", refused(http.StatusUnauthorized, invalidClient, "want Authorization by Basic")
		}
		id, secret, ways = name, pass, ways+1
		if pass == "" {
			ways--
		}
	}
	if ways > 1 {
		return "", "", refused(http.StatusBadRequest, invalidRequest, "the secret is there twice")
	}
	return strings.TrimSpace(id), secret, nil
}

// authorizationHeader is a value for curl -H "Authorization: $(…)".
func (c *call) authorizationHeader() ([]byte, string, *refusal) {
	if no := c.authenticate(headerSecret(c.r.Header)); no != nil {
		return nil, "", no
	}
	q, no := c.query()
	if no == nil {
		no = c.permitNamed(q.Get("app"), q.Get("scope"), http.StatusForbidden)
	}
	if no != nil {
		return nil, "", no
	}
	t, no := c.cached()
	if no != nil {
		return nil, "", no
	}
	return []byte("Bearer " + t.Value()), "text/plain; charset=utf-8", nil
}
