// SPDX-License-Identifier: MIT

package consent

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
)

// Config is what a [Flow] is made of.
type Config struct {
	// Cloud is that of the tenants; the zero value is the public one.
	Cloud cloud.Cloud
	// ClientID is that of the app that is to be let in. Required.
	ClientID string
	// RedirectURL is where [Flow.Callback] is served, as registered with the app:
	// https, or http on a loopback address, of at most 256 characters. Required.
	RedirectURL string
	// Scope is the API whose permissions are asked for, "<resource>/.default"; "":
	// all that the app's registration lists, which is the older form of the request.
	Scope string
	// Keys authenticate the state that goes through the browser, at least 32 random
	// bytes each: the first signs, all check, so that they can be rotated. Replicas
	// have the same ones. Required.
	Keys [][]byte
	// TTL is how long an administrator has; 0: one hour. At most 24 hours.
	TTL time.Duration
	// Link is for URLs that are sent to somebody else's administrator. Without it a
	// cookie holds a consent to the browser that began it, and makes it good for
	// once. With it whoever has the URL can finish it, until its time is up.
	Link bool
}

// String shows nothing of the keys.
func (c Config) String() string { return "consent config of client " + ident.OneLine(c.ClientID, 60) }

// GoString is [Config.String].
func (c Config) GoString() string { return c.String() }

// LogValue is [Config.String].
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

const (
	defaultTTL = time.Hour
	maxTTL     = 24 * time.Hour
	minKey     = 32
	// maxRedirectURL is Entra's own limit, in characters.
	maxRedirectURL = 256
	// MaxData bounds the data of [Flow.URL], in bytes.
	MaxData = 512
)

// A Flow leads administrators through admin consent. Make one with [New]. It is safe
// for concurrent use, and keeps nothing of those who are on their way.
type Flow struct {
	authority, clientID, redirectURL, scope string
	macs                                    []func(use string, b []byte) []byte // by key
	ttl                                     time.Duration
	link, secure                            bool
}

// New returns a flow. It performs no I/O. The error says everything that is wrong at
// once.
func New(cfg Config) (*Flow, error) {
	f, errs := cfg.flow()
	if cfg.RedirectURL == "" {
		errs = append(errs, errors.New("RedirectURL is empty"))
	}
	if len(cfg.Keys) == 0 {
		errs = append(errs, errors.New("the field Keys is empty"))
	}
	for i, k := range cfg.Keys {
		if len(k) < minKey {
			errs = append(errs, fmt.Errorf("key %d has %d bytes, want at least %d random ones", i+1, len(k), minKey))
		}
		f.macs = append(f.macs, f.macWith(bytes.Clone(k)))
	}
	switch {
	case f.ttl == 0:
		f.ttl = defaultTTL
	case f.ttl < time.Second, f.ttl > maxTTL:
		errs = append(errs, errors.New("TTL is not between a second and 24 hours"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("consent: %w", err)
	}
	return f, nil
}

// flow returns a flow but for its keys and its TTL, and all that is wrong with it. It may
// be without a RedirectURL.
func (c Config) flow() (f *Flow, errs []error) {
	f = &Flow{authority: c.Cloud.Authority(), redirectURL: c.RedirectURL, scope: c.Scope, ttl: c.TTL, link: c.Link}
	errs = []error{c.Cloud.Validate()}
	var err error
	if f.clientID, err = ident.ClientID(c.ClientID); err != nil {
		errs = append(errs, err)
	}
	if c.RedirectURL != "" {
		if f.secure, err = checkRedirect(c.RedirectURL); err != nil {
			errs = append(errs, fmt.Errorf("RedirectURL %w", err))
		}
	}
	if c.Scope != "" {
		if err := ident.CheckScope(c.Scope); err != nil {
			errs = append(errs, fmt.Errorf("the field Scope: %w", err))
		}
	}
	return f, errs
}

// String shows nothing of the keys.
func (f *Flow) String() string { return "consent of client " + f.clientID }

// GoString is [Flow.String].
func (f *Flow) GoString() string { return f.String() }

// checkRedirect says what is wrong with a redirect URL, and whether it is https.
func checkRedirect(s string) (secure bool, err error) {
	u, err := url.Parse(s)
	switch {
	case len(s) > maxRedirectURL:
		return false, fmt.Errorf("is longer than %d characters", maxRedirectURL)
	case err != nil || u.Host == "" || u.Opaque != "":
		return false, errors.New("is not an absolute URL")
	case u.User != nil:
		return false, errors.New("has user information in it")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return false, errors.New("has a fragment, which no server gets to see")
	case u.Scheme == "https":
		return true, nil
	case u.Scheme != "http":
		return false, errors.New("is neither https nor http")
	case !isLoopback(u.Hostname()):
		return false, errors.New("is http, which Entra accepts for loopback addresses alone: want https")
	}
	return false, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && net.IP(addr.AsSlice()).IsLoopback()
}

// tenant returns the canonical form of a tenant: a GUID, a domain name, or the word for
// whichever tenant the administrator belongs to. "common", which is for accounts of
// any kind, exists in the older form alone.
func (f *Flow) tenant(id string) (string, error) {
	word := strings.ToLower(id)
	if word == "organizations" || word == "common" && f.scope == "" {
		return word, nil
	}
	tenant, err := ident.Tenant(id)
	if err != nil {
		return "", fmt.Errorf("consent: %w", err)
	}
	return tenant, nil
}

// URL returns where to send an administrator of a tenant: of a GUID, a domain name, or
// "organizations" for any tenant. Only with a GUID can the answer be held to be about the
// same tenant. data comes back with the [Result]; it is at most
// [MaxData] bytes, and anybody on the way can read it, but not change it. setCookie
// is the value of the Set-Cookie header that goes to the same browser, "" with
// [Config.Link].
func (f *Flow) URL(tenant, data string) (address, setCookie string, err error) {
	if tenant, err = f.tenant(tenant); err != nil {
		return "", "", err
	}
	if len(data) > MaxData {
		return "", "", fmt.Errorf("consent: data has %d bytes, want at most %d", len(data), MaxData)
	}
	s := newState(tenant, data, time.Now().Add(f.ttl))
	query := url.Values{"state": {f.seal(s)}}
	if !f.link {
		setCookie = f.cookie(s, f.ttl).String()
	}
	return f.address(tenant, query), setCookie, nil
}

// address returns that of the consent in a tenant, with what is in query besides.
func (f *Flow) address(tenant string, query url.Values) string {
	query.Set("client_id", f.clientID)
	if f.redirectURL != "" {
		query.Set("redirect_uri", f.redirectURL)
	}
	path := "/adminconsent"
	if f.scope != "" {
		path = "/v2.0/adminconsent"
		query.Set("scope", f.scope)
	}
	return f.authority + "/" + tenant + path + "?" + query.Encode()
}

// PlainURL returns where an administrator of a tenant, as in [Flow.URL], consents without
// a flow: an address to hand to somebody who is known, such as the administrator of
// one's own tenant. No Callback takes what comes back from it, as it has no state.
//
// Keys, TTL and Link are not used, and RedirectURL is needed only where there is a Scope:
// without one Entra shows an end of its own.
func (c Config) PlainURL(tenant string) (string, error) {
	f, errs := c.flow()
	if c.Scope != "" && c.RedirectURL == "" {
		errs = append(errs, errors.New("RedirectURL is empty, which Entra demands where there is a Scope"))
	}
	if err := errors.Join(errs...); err != nil {
		return "", fmt.Errorf("consent: %w", err)
	}
	tenant, err := f.tenant(tenant)
	if err != nil {
		return "", err
	}
	return f.address(tenant, url.Values{}), nil
}

// Start returns a handler that sends the browser to the administrator's consent in a
// tenant. It answers 500 if tenant is none that [Flow.URL] takes.
func (f *Flow) Start(tenant string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !allowGet(w, r) {
			return
		}
		address, setCookie, err := f.URL(tenant, "")
		if err != nil {
			http.Error(w, "the consent cannot be asked for: the tenant is not configured", http.StatusInternalServerError)
			return
		}
		if setCookie != "" {
			w.Header().Add("Set-Cookie", setCookie)
		}
		w.Header().Set("Referrer-Policy", "no-referrer")
		http.Redirect(w, r, address, http.StatusFound)
	})
}

func allowGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet {
		return true
	}
	w.Header().Set("Allow", http.MethodGet)
	http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	return false
}
