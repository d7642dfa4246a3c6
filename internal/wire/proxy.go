// SPDX-License-Identifier: MIT

package wire

import (
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/apponly/apponly/internal/netfault"
)

// ProxyFromEnvironment is that of net/http, but for an address that it reads at a place
// where it does not divide, as one with a slash in its password: the request would go to
// a host that is a piece of the password. The error is a [netfault.ProxyAddress]; that of
// net/http quotes the address, password and all.
func ProxyFromEnvironment(req *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	name := ProxyVariable(req.URL.Scheme)
	if err != nil || proxy != nil && torn(proxy, os.Getenv(name)) {
		return nil, netfault.ProxyAddress(name)
	}
	return proxy, nil
}

// ProxyVariable is the name of the variable that has the proxy for a scheme, http or
// https.
func ProxyVariable(scheme string) string {
	name := strings.ToUpper(scheme) + "_PROXY"
	if lower := strings.ToLower(name); os.Getenv(name) == "" && os.Getenv(lower) != "" {
		return lower
	}
	return name
}

// torn reports whether value, which was read as proxy, has a user that is not in it: what
// stands before the slash was taken for the host then. net/http takes what is no URL at
// all for a host, too.
func torn(proxy *url.URL, value string) bool {
	return proxy.User == nil && strings.Contains(value, "@") || strings.HasSuffix(proxy.Host, ":")
}
