// SPDX-License-Identifier: MIT

package entratest

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// maxRedirectURI is Entra's limit for redirect URIs, in characters.
const maxRedirectURI = 256

// AddRedirectURI registers an address that browsers may be sent back to with the
// answer of an administrator; see [App.Require]. It panics where Entra would not take
// it: unless it is an absolute https URL, or an http one with a loopback address, of
// at most 256 characters and without a fragment, user information or a wildcard.
// Adding one again changes nothing.
func (a *App) AddRedirectURI(uri string) { panicIf(a.addRedirectURI(uri)) }

func (a *App) addRedirectURI(uri string) error {
	if err := checkRedirectURI(uri); err != nil {
		return err
	}
	a.s.update(func() {
		if !slices.Contains(a.redirects, uri) {
			a.redirects = append(a.redirects, uri)
		}
	})
	return nil
}

// RemoveRedirectURI takes such an address away; one that is not there is ignored.
func (a *App) RemoveRedirectURI(uri string) {
	a.s.update(func() {
		a.redirects = slices.DeleteFunc(a.redirects, func(r string) bool { return r == uri })
	})
}

// checkRedirectURI does not repeat what stands in the place of a URI: it may be a secret.
func checkRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case len(uri) > maxRedirectURI:
		return fmt.Errorf("the redirect URI has %d characters, want %d at most", len(uri), maxRedirectURI)
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("the redirect URI is not an absolute URL")
	case u.User != nil || strings.ContainsAny(uri, "#*\\"):
		return errors.New("the redirect URI has a fragment, a wildcard, a backslash or user information in it")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return errors.New("the redirect URI is neither https nor http on a loopback address")
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// moreSegments are what may follow the path of a registered URI in version 1 of the
// request: nothing that leads up again, and no query.
var moreSegments = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._~-]*)+/?$`)

// redirectsTo reports whether an answer may go to uri. Version 2 compares exactly,
// version 1 lets further path segments be (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow).
// The caller holds mu.
func (a *App) redirectsTo(uri string, version int) bool {
	return slices.ContainsFunc(a.redirects, func(registered string) bool {
		rest, ok := strings.CutPrefix(uri, strings.TrimSuffix(registered, "/"))
		return uri == registered ||
			version == 1 && ok && !strings.Contains(registered, "?") && moreSegments.MatchString(rest)
	})
}
