// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/ident"
)

// maxHold is how long a call is kept waiting for a token: SDKs give up after some
// seconds more, and then do not know when to ask again.
const maxHold = 10 * time.Second

// maxBody bounds the body of a call.
const maxBody = 64 << 10

// A call is one request for a token.
type call struct {
	*state
	r       *http.Request
	who     identity
	app     string // for the log: what was asked for, once it is known to be on the list
	scope   string
	expires time.Time // of the token that was handed out
}

// A route answers calls to one path.
type route struct {
	method string
	hosts  func(string) bool
	answer func(*call) (body []byte, contentType string, refusal *refusal)
}

const jsonType = "application/json; charset=utf-8"

var tokenRoutes = map[string]route{
	"/msi/token":               {http.MethodGet, isLoopbackName, (*call).appService},
	"/v1/token":                {http.MethodPost, isLoopbackName, (*call).token},
	"/v1/authorization-header": {http.MethodGet, isLoopbackName, (*call).authorizationHeader},
}

// imdsRoutes have both forms of the path: msal-node asks with the slash if it was told
// the host by AZURE_POD_IDENTITY_AUTHORITY_HOST.
var imdsRoutes = map[string]route{
	"/metadata/identity/oauth2/token":  {http.MethodGet, imdsHost, (*call).imds},
	"/metadata/identity/oauth2/token/": {http.MethodGet, imdsHost, (*call).imds},
}

// serve answers one call and writes it to the log.
func (a *Agent) serve(routes map[string]route, w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{state: a.state.Load(), r: r, who: arrival(r.Context())}
	rt, found := routes[r.URL.Path]
	w.Header().Set("Cache-Control", "no-store")
	body, contentType, no := c.route(rt, found)
	if no != nil {
		if no.Status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", rt.method)
		}
		if no.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="apponly agent"`) // RFC 6749 section 5.2
		}
		no.write(w)
	} else {
		w.Header().Set("Content-Type", contentType)
		w.Write(body)
	}
	path := "unknown"
	if found {
		path = r.URL.Path
	}
	c.write(path, no, time.Since(start))
}

func (c *call) route(rt route, found bool) ([]byte, string, *refusal) {
	if rt.hosts == nil {
		rt.hosts = imdsHost
	}
	if no := guard(c.r, rt.hosts, false); no != nil {
		return nil, "", no
	}
	switch {
	case !found:
		return nil, "", refused(http.StatusNotFound, invalidRequest, "there is nothing at this path")
	case c.r.Method != rt.method:
		return nil, "", refused(http.StatusMethodNotAllowed, invalidRequest, "want "+rt.method)
	}
	return rt.answer(c)
}

// write writes a line of the access log. Of a token it has the end.
func (c *call) write(route string, no *refusal, took time.Duration) {
	level, outcome := c.served, "served"
	if no != nil {
		level, outcome = slog.LevelWarn, no.Error
		if no.Kind != "" {
			outcome = string(no.Kind)
		}
	}
	if !c.log.Enabled(c.r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("caller", c.who.String()), slog.String("route", route),
		slog.String("app", c.app), slog.String("scope", c.scope),
		slog.String("outcome", outcome), slog.Duration("duration", took),
	}
	if no != nil {
		attrs = append(attrs, slog.Int("status", no.Status), slog.String("reason", no.Description))
	} else if !c.expires.IsZero() {
		attrs = append(attrs, slog.Time("expires", c.expires))
	}
	c.log.LogAttrs(c.r.Context(), level, "token call", attrs...)
}

// authenticate finds out who calls: by the socket, by a secret, or by both. A secret
// that is wrong is wrong, whoever has sent it.
func (c *call) authenticate(secret string) *refusal {
	if secret != "" {
		if !c.header.matches(secret) {
			return refused(http.StatusUnauthorized, invalidClient, "the header secret is wrong: read the file that identity_header_file names again")
		}
		c.who.header = true
	}
	if !c.who.known() {
		return refused(http.StatusUnauthorized, invalidClient, "want the header secret as "+identityHeader)
	}
	return nil
}

// identityHeader is the header of the App Service protocol.
const identityHeader = "X-IDENTITY-HEADER"

// headerSecret returns the secret of the request, "" if there is none.
func headerSecret(h http.Header) string {
	if all := h.Values(identityHeader); len(all) == 1 {
		return all[0]
	} else if len(all) > 1 {
		return "twice"
	}
	return ""
}

// permit looks for what is asked in the list: before any token is, so that what is not
// on it costs Entra nothing.
func (c *call) permit(app, scope string) *refusal {
	if !allowed(c.cfg.Callers, c.who, app, scope) {
		what := "what is no scope" // and may be a secret in the wrong place
		if ident.CheckScope(scope) == nil {
			what = strconv.Quote(ident.OneLine(scope, 200))
		}
		return refused(http.StatusForbidden, accessDenied, fmt.Sprintf("%s may not have tokens of the app %s for %s", c.who, app, what))
	}
	c.app, c.scope = app, scope
	return nil
}

// get gets a token of the app that was permitted.
func (c *call) get(ask func(context.Context, *apponly.Client) (apponly.Token, error)) (apponly.Token, *refusal) {
	ctx, cancel := context.WithTimeout(c.r.Context(), maxHold)
	defer cancel()
	t, err := ask(ctx, c.clients[c.app])
	if err != nil {
		return apponly.Token{}, refusalOf(err, time.Now())
	}
	c.expires = t.ExpiresOn()
	return t, nil
}

// cached gets the token of the cache, as most routes do.
func (c *call) cached() (apponly.Token, *refusal) {
	return c.get(func(ctx context.Context, client *apponly.Client) (apponly.Token, error) {
		return client.Token(ctx, c.scope)
	})
}

// query reads the parameters of a GET, each at most once.
func (c *call) query() (url.Values, *refusal) { return once(c.r.URL.RawQuery) }

// once parses parameters. One that is there twice is read differently by different
// programs (RFC 6749 section 3.2).
func once(raw string) (url.Values, *refusal) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refused(http.StatusBadRequest, invalidRequest, "the parameters cannot be read")
	}
	for name, all := range values {
		if len(all) > 1 {
			return nil, refused(http.StatusBadRequest, invalidRequest, fmt.Sprintf("the parameter %.60q is there twice", name))
		}
	}
	return values, nil
}

// body reads a body of one of two types, and says which.
func (c *call) body() (data []byte, form bool, no *refusal) {
	media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	form = media == "application/x-www-form-urlencoded"
	if err != nil || !form && media != "application/json" {
		return nil, false, refused(http.StatusUnsupportedMediaType, invalidRequest, "want application/json or application/x-www-form-urlencoded")
	}
	data, err = io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, false, refused(http.StatusRequestEntityTooLarge, invalidRequest, "the body is larger than 64 KiB")
	}
	if err != nil {
		return nil, false, refused(http.StatusBadRequest, invalidRequest, "the body cannot be read")
	}
	return data, form, nil
}

// scopeOf makes a scope of what the managed identity protocols call a resource. It is
// not tidied: https://management.azure.com/ and the same without a slash are different
// audiences.
func scopeOf(resource string) string {
	if strings.HasSuffix(resource, "/.default") {
		return resource
	}
	return resource + "/.default"
}
