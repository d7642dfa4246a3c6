// SPDX-License-Identifier: MIT

package agent

import (
	"net"
	"net/http"
	"strings"
)

// guard refuses requests that no client of the agent makes by itself: those that
// somebody has passed on, or that a web page or a name that was pointed here has
// caused. It is the same for everybody, secret or not.
func guard(r *http.Request, hosts func(string) bool, forwarded bool) *refusal {
	switch {
	case r.Method == http.MethodConnect || !strings.HasPrefix(r.RequestURI, "/"):
		// An absolute URI or an authority is for a proxy (RFC 9112 section 3.2).
		return refused(http.StatusBadRequest, invalidRequest, "this is not a forward proxy: want a path")
	case !hosts(hostName(r.Host)):
		return refused(http.StatusBadRequest, invalidRequest, "want the address of the agent as Host")
	case has(r.Header, "Origin") || has(r.Header, "Sec-Fetch-Site"):
		return refused(http.StatusForbidden, accessDenied, "this is not for browsers")
	case !forwarded && wasForwarded(r.Header):
		return refused(http.StatusBadRequest, invalidRequest, "the request was forwarded by somebody")
	}
	return nil
}

func has(h http.Header, name string) bool { _, ok := h[name]; return ok }

// wasForwarded looks for what proxies add. It is IMDS's own rule against requests that
// an application was talked into passing on.
func wasForwarded(h http.Header) bool {
	for name := range h {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// hostName is the name in a Host header, without port and brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// imdsHost allows the address of a real metadata service, too: a container may have
// it on its loopback interface.
func imdsHost(name string) bool { return name == "169.254.169.254" || isLoopbackName(name) }
