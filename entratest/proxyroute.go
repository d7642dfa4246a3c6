// SPDX-License-Identifier: MIT

package entratest

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/apponly/apponly/cloud"
)

// A proxyRoute is what the proxy does with a request for an address.
type proxyRoute int

const (
	proxyRefuses  proxyRoute = iota
	proxyEntra               // the emulator answers, over TLS
	proxyMetadata            // the metadata services of machines answer, over plain http
	proxyPasses              // it goes where it says
)

// proxyRules are what decides about it.
type proxyRules struct {
	secure, plain string   // where the emulator is, as canonicalHost spells it; plain may be ""
	hosts         []string // further names of the emulator, in lower case
	passThrough   bool
}

// armHosts are where Azure Resource Manager is, which clients ask right after their
// first token.
var armHosts = []string{"management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn"}

// regionalHosts end the names of regional token services in the public cloud.
const regionalHosts = ".login.microsoft.com"

// route decides about an address. What is the emulator's by its name is never asked
// outside, whatever the port: a real credential could be meant for it, and a metadata
// service would answer with one.
func (r proxyRules) route(host, port string) proxyRoute {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	byName := func(want string, found proxyRoute) proxyRoute {
		if port == want {
			return found
		}
		return proxyRefuses
	}
	switch addr := canonicalHost(net.JoinHostPort(host, port)); {
	case addr == r.secure:
		return proxyEntra
	case addr == r.plain:
		return proxyMetadata
	case slices.Contains(plainHosts, host):
		return byName("80", proxyMetadata)
	case r.isEntra(host):
		return byName("443", proxyEntra)
	case r.passThrough && !isMetadata(host):
		return proxyPasses
	}
	return proxyRefuses
}

// isEntra reports whether the emulator stands in for a host.
func (r proxyRules) isEntra(host string) bool {
	_, err := cloud.FromAuthority(host)
	region, regional := strings.CutSuffix(host, regionalHosts)
	return err == nil || regional && region != "" && !strings.Contains(region, ".") ||
		slices.Contains(armHosts, host) || slices.Contains(r.hosts, host)
}

// metadataAddrs are metadata services of machines that are not link-local: those of AWS and
// Google over IPv6, Azure's WireServer, Alibaba's.
var metadataAddrs = []string{"fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200"}

// isMetadata reports whether an address is one at which a machine has its metadata
// services, or of their kind.
func isMetadata(host string) bool {
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap().WithZone("")
	return err == nil && (addr.IsLinkLocalUnicast() || slices.Contains(metadataAddrs, addr.String()))
}
