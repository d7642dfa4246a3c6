// SPDX-License-Identifier: MIT

package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// closedPort returns an address at which nobody answers.
func closedPort(t *testing.T) string {
	l := listen(t)
	l.Close()
	return l.Addr().String()
}

// showing has the front show a certificate that is special.
func showing(change func(*x509.Certificate)) func(*clinic) {
	return func(c *clinic) { c.front.show(c.front.roots.issue(c.T, change)) }
}

var networkSetUps = []setUp{
	{"file missing", "secret", func(c *clinic) { c.set("APPONLY_CA_FILE", c.path("nowhere/ca.pem")) }, "roots", "ca_file", "no such file", ""},
	{"file without a certificate", "secret", content("APPONLY_CA_FILE", "no certificate"), "roots", "ca_file", "no certificate in PEM", ""},
	{"file is a directory", "secret", func(c *clinic) { c.set("APPONLY_CA_FILE", c.dir) }, "roots", "ca_file", "is a directory", ""},
	{"cluster's file missing", "identity binding", func(c *clinic) {
		c.unset("AZURE_KUBERNETES_CA_DATA")
		c.set("AZURE_KUBERNETES_CA_FILE", c.path("nowhere/ca.pem"))
	}, "roots", "ca_file", "AZURE_KUBERNETES_CA_FILE", ""},

	{"not there", "proxy", func(c *clinic) { c.set("HTTPS_PROXY", "http://"+closedPort(c.T)) }, "proxy", "unreachable", "connection refused", ""},
	{"wants a password", "proxy", func(c *clinic) { c.set("HTTPS_PROXY", "http://"+c.proxy.addr()) }, "proxy", "unreachable", "407 Proxy Authentication Required", ""},
	{"forbids", "proxy", func(c *clinic) { c.proxy.refuse("403 Forbidden") }, "proxy", "unreachable", "403 Forbidden", ""},
	{"cannot reach the host", "proxy", func(c *clinic) { c.proxy.refuse("502 Bad Gateway") }, "proxy", "unreachable", "502 Bad Gateway", ""},
	{"resets", "proxy", func(c *clinic) { f := reset; c.proxy.take.Store(&f) }, "proxy", "unreachable", "connection reset", ""},
	{"hangs", "proxy", func(c *clinic) { f := hang; c.proxy.take.Store(&f) }, "proxy", "unreachable", "no answer in time", ""},
	{"address that is none", "proxy", planted("HTTPS_PROXY", "http://user:proxy-password@proxy:port"), "proxy", "unreachable", "HTTPS_PROXY cannot be read", ""},
	{"password with a slash", "proxy", func(c *clinic) { c.set("HTTPS_PROXY", "http://user:8080/"+c.hide("part-of-it")+"@127.0.0.1:3128") }, "proxy", "unreachable", "HTTPS_PROXY cannot be read", ""},
	{"name of the proxy", "proxy", planted("HTTPS_PROXY", "http://proxy.apponly.invalid:3128"), "proxy", "unreachable", "proxy.apponly.invalid:3128", ""},

	{"over TLS, of another issuer", "proxy over TLS", func(c *clinic) {
		c.proxyLock.Lock()
		defer c.proxyLock.Unlock()
		c.proxyTLS = &tls.Config{Certificates: []tls.Certificate{newIssuer(c.T, "Proxy Root").issue(c.T, nil)}}
	}, "proxy", "unreachable", "certificate was not accepted: unknown authority", ""},
	{"over TLS, forbids", "proxy over TLS", func(c *clinic) { c.proxy.refuse("403 Forbidden") }, "proxy", "unreachable", "403 Forbidden", ""},
	{"over TLS, spoken to in the clear", "proxy over TLS", func(c *clinic) { c.set("HTTPS_PROXY", "http://"+c.proxy.addr()) }, "proxy", "unreachable", "connection closed", ""},
	{"SOCKS, not there", "SOCKS proxy", func(c *clinic) { c.set("HTTPS_PROXY", "socks5://"+closedPort(c.T)) }, "proxy", "unreachable", "connection refused", ""},
	{"SOCKS, forbids", "SOCKS proxy", func(c *clinic) { c.proxy.refuse("") }, "proxy", "unreachable", "did not let the connection through", ""},

	{"no such host", "secret", planted("AZURE_AUTHORITY_HOST", "https://login.apponly.invalid"), "dns", "unreachable", "login.apponly.invalid", ""},
	{"no way past the proxy", "proxy", planted("NO_PROXY", "login.apponly.invalid"), "dns", "unreachable", "login.apponly.invalid", ""},
	{"nobody listens", "secret", func(c *clinic) { c.set("AZURE_AUTHORITY_HOST", "https://"+closedPort(c.T)) }, "connect", "unreachable", "connection refused", ""},
	{"no token proxy", "identity binding", func(c *clinic) { c.set("AZURE_KUBERNETES_TOKEN_PROXY", "https://"+closedPort(c.T)) }, "connect", "unreachable", "connection refused", ""},

	{"reset", "front", func(c *clinic) { c.front.take(reset) }, "tls", "unreachable", "connection reset", ""},
	{"hangs", "front", func(c *clinic) { c.front.take(hang) }, "tls", "unreachable", "no answer in time", ""},
	{"plain http", "front", func(c *clinic) {
		c.front.take(func(conn net.Conn) {
			conn.Read(make([]byte, 100))
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			hang(conn)
		})
	}, "tls", "unreachable", "plain http", ""},
	{"another root", "front", func(c *clinic) { c.write("front.pem", newIssuer(c.T, "Front Root").pem()) }, "tls", "unreachable", `issued by "Front Root, Example Corp"`, ""},
	{"no root", "secret", missing("APPONLY_CA_FILE"), "tls", "unreachable", "not trusted here", ""},
	{"expired", "front", showing(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "tls", "unreachable", "has expired, by the clock of this machine", ""},
	{"not valid yet", "front", showing(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), "tls", "unreachable", "not valid yet, by the clock of this machine", ""},
	{"for another host", "front", showing(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"portal.hotel.test"} }), "tls", "unreachable", `for "portal.hotel.test"`, ""},
	{"not for servers", "front", showing(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "tls", "unreachable", "not for servers", ""},
	{"old version", "front", func(c *clinic) {
		old := c.front.tls.Load().Clone()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		c.front.tls.Store(old)
	}, "tls", "unreachable", "version", ""},
	{"inspecting proxy", "proxy", func(c *clinic) {
		inspector := &clinic{T: c.T, sts: entratest.New(c.T), dir: c.T.TempDir(), env: maps.Clone(c.env)}
		inspector.open("login.apponly.invalid", "https://login.apponly.invalid")
		addr := inspector.front.addr()
		inspector.front.show(newIssuer(c.T, "Inspection CA").issue(c.T, nil))
		c.proxy.to.Store(&addr)
	}, "tls", "unreachable", `issued by "Inspection CA, Example Corp"`, ""},
	{"name of the token proxy", "identity binding", planted("AZURE_KUBERNETES_SNI_NAME", "other.cluster.test"), "tls", "unreachable", "unrecognized name", ""},
	{"root of the token proxy", "identity binding", func(c *clinic) { c.binds.Rollover() }, "tls", "unreachable", "not trusted here", ""},

	{"behind", "secret", func(c *clinic) { c.sts.SetClockOffset(10 * time.Minute) }, "clock", "", "behind that of", ""},
	{"ahead", "secret", func(c *clinic) { c.sts.SetClockOffset(-10 * time.Minute) }, "clock", "", "ahead of that of", ""},
	{"a little behind", "secret", func(c *clinic) { c.sts.SetClockOffset(2 * time.Minute) }, "", "", "behind that of", "clock"},
	{"no answer", "secret", func(c *clinic) {
		if _, err := c.sts.AddFault(entratest.Fault{Endpoint: "configuration", Connection: "reset"}); err != nil {
			c.Fatal(err)
		}
	}, "", "", "not compared", "clock"},
	{"no date", "front", func(c *clinic) {
		c.answer(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			c.sts.ServeHTTP(rec, r)
			w.Header()["Date"] = nil
			w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
			w.WriteHeader(rec.Code)
			w.Write(rec.Body.Bytes())
		})
	}, "", "", "no date", "clock"},
}

// answer has the front answer in another way.
func (c *clinic) answer(h http.HandlerFunc) { c.front.handler.Store(&h) }

// rewriting has the token endpoint answer with what change makes of its answer.
func (c *clinic) rewriting(change func(body []byte) []byte) {
	c.answer(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		c.sts.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if r.Method == http.MethodPost {
			body = change(body)
		}
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.WriteHeader(rec.Code)
		w.Write(body)
	})
}
