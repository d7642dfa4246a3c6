// SPDX-License-Identifier: MIT

package cloud

import (
	"net/url"
	"strings"
)

// parseAuthority reads "https://host[:port]", with demandScheme false also
// "host[:port]", and returns the host in lower case without the default port; or the
// first fault, to follow the name of what holds the authority. User information, a
// path or a query would end up in URLs that are built from it.
func parseAuthority(s string, demandScheme bool) (host, fault string) {
	const want = "; want https://host[:port]"
	scheme, rest, hasScheme := strings.Cut(s, "://")
	if !hasScheme {
		scheme, rest = "https", s
	}
	u, err := url.Parse("https://" + strings.TrimSuffix(rest, "/"))
	switch {
	case s == "":
		return "", ": scheme must be https" + want
	case strings.ContainsAny(s, "\"'"):
		return "", ": it has quotes around it" + want
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", ": it has characters in it that no URL has, which may be ones that cannot be seen" + want
	case err != nil:
		return "", " is not a URL" + want
	case !strings.EqualFold(scheme, "https"), demandScheme && !hasScheme:
		return "", shown(u.Host) + ": scheme must be https"
	case u.User != nil:
		return "", ": user information is not allowed" // not quoted: it may be a password
	case u.Hostname() == "" || strings.HasSuffix(u.Host, ":"): // as that of "https:/host"
		return "", ": host is missing, or its port" + want
	case !strings.ContainsAny(u.Host, ".:") && strings.HasPrefix(strings.ToLower(u.Host), "azure"):
		return "", shown(u.Host) + ": it names a cloud, not its host; want one such as https://login.microsoftonline.us"
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return "", shown(u.Host) + ": want https://host[:port] and nothing behind it; a tenant is set by itself (AZURE_TENANT_ID)"
	case strings.ContainsAny(u.Host, " %\\@") || strings.HasSuffix(u.Hostname(), "."):
		return "", ": host is not a plain host name"
	}
	return strings.TrimSuffix(strings.ToLower(u.Host), ":443"), ""
}

// shown returns a host as it stands in an error, behind a blank, "" if it is not
// surely one: it may be a secret in the wrong place.
func shown(host string) string {
	for label := range strings.SplitSeq(strings.ToLower(host), ".") {
		if len(label) > 40 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-:[]") != "" {
			return ""
		}
	}
	azure := strings.HasPrefix(strings.ToLower(host), "azure") && len(host) < 20
	if len(host) > 100 || !azure && !strings.ContainsAny(host, ".:") || strings.HasPrefix(strings.ToLower(host), "eyj") {
		return ""
	}
	return " \"" + host + "\""
}
