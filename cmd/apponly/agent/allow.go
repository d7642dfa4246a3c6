// SPDX-License-Identifier: MIT

package agent

import (
	"slices"
	"strconv"
	"strings"
)

// An identity is what is known of who calls. The zero identity is nobody.
type identity struct {
	uid    uint32
	hasUID bool // it came by a socket, whose other end runs as uid
	header bool // it has the header secret
	imds   bool // it came by the listener for IMDS
}

func (who identity) known() bool { return who.hasUID || who.header || who.imds }

// String names the caller in the access log.
func (who identity) String() string {
	var names []string
	if who.hasUID {
		names = append(names, "uid "+strconv.FormatUint(uint64(who.uid), 10))
	}
	if who.header {
		names = append(names, "header "+DefaultHeader)
	}
	if who.imds {
		names = append(names, "imds")
	}
	if names == nil {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// is reports whether who is meant by one of the ways to tell a caller.
func (who identity) is(uids []int, header string, imds bool) bool {
	return who.hasUID && slices.Contains(uids, int(who.uid)) || who.header && header != "" || who.imds && imds
}

// allowed reports whether a caller may have tokens of an app for a scope: only if a
// line of the list says so, byte by byte.
func allowed(list []Caller, who identity, app, scope string) bool {
	for _, c := range list {
		if who.is(c.UID, c.Header, c.IMDS) && slices.Contains(c.Scopes, scope) && hasApp(c, app) {
			return true
		}
	}
	return false
}

// mayUse reports whether a caller may have any tokens of an app.
func mayUse(list []Caller, who identity, app string) bool {
	for _, c := range list {
		if who.is(c.UID, c.Header, c.IMDS) && hasApp(c, app) {
			return true
		}
	}
	return false
}

func hasApp(c Caller, app string) bool {
	if len(c.Apps) == 0 {
		return app == DefaultApp
	}
	return slices.Contains(c.Apps, app)
}
