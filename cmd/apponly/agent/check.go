// SPDX-License-Identifier: MIT

package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// check reports everything that is wrong with a configuration by itself, as a
// [*ConfigError].
func (c *Config) check() error {
	e := &ConfigError{}
	c.faults(e)
	return e.OrNil()
}

// faults adds what is wrong with a configuration.
func (c *Config) faults(e *ConfigError) {
	k := &checker{cfg: c, error: e}
	k.listen()
	k.apps()
	k.shared()
	for i, caller := range c.Callers {
		k.caller(fmt.Sprintf("callers[%d]", i), caller)
	}
	for i, f := range c.Files {
		k.file(fmt.Sprintf("files[%d]", i), f)
	}
	for i, p := range c.Proxies {
		k.proxy(fmt.Sprintf("proxy[%d]", i), p)
	}
	for i, scope := range c.Warm {
		k.scope(fmt.Sprintf("warm[%d]", i), scope)
	}
}

type checker struct {
	cfg   *Config
	error *ConfigError
	taken map[string]string // what is listened on or written to, by address or path
}

func (k *checker) add(key, format string, args ...any) {
	k.error.Add(k.error.Find(key), format, args...)
}

// take notes that something has a use, and faults a second one.
func (k *checker) take(key, what string) {
	if what == "" || strings.HasSuffix(what, ":0") {
		return
	}
	if k.taken == nil {
		k.taken = map[string]string{}
	}
	if other := k.taken[what]; other != "" {
		k.add(key, "is that of %s", other)
	}
	k.taken[what] = key
}

func (k *checker) listen() {
	l := k.cfg.Listen
	if l.TCP == "" && l.Socket == "" && l.IMDS == "" && len(k.cfg.Files) == 0 && len(k.cfg.Proxies) == 0 {
		k.add("listen", "there is nothing to do: want tcp, socket or imds, or files, or proxy")
	}
	k.loopback("listen.tcp", l.TCP)
	if l.IMDS != "169.254.169.254:80" {
		k.loopback("listen.imds", l.IMDS)
	}
	k.address("health.tcp", k.cfg.Health.TCP)
	k.socket("listen.socket", l.Socket, l.SocketMode)
	if l.TCP != "" && k.cfg.HeaderFile == "" {
		k.add("header_file", "is missing: over TCP callers prove themselves with the secret in it")
	}
	k.path("header_file", k.cfg.HeaderFile)
	k.take("header_file", k.cfg.HeaderFile)
	k.take("listen.tcp", l.TCP)
	k.take("listen.imds", l.IMDS)
	k.take("health.tcp", k.cfg.Health.TCP)
}

// address checks a host and port, and returns the host.
func (k *checker) address(key, addr string) (host string, ok bool) {
	if addr == "" {
		return "", false
	}
	host, port, err := net.SplitHostPort(addr)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		k.add(key, "want host:port, with a port from 0 to 65535")
		return "", false
	}
	return host, true
}

// loopback checks an address at which there are tokens: without TLS they must not
// leave the host.
func (k *checker) loopback(key, addr string) {
	host, ok := k.address(key, addr)
	if !ok {
		return
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback() || ip.Zone() != "") {
		k.add(key, "want a loopback address such as 127.0.0.1: tokens and the header secret would cross the network in plain text")
	}
}

func (k *checker) path(key, path string) {
	if path != "" && !filepath.IsAbs(path) {
		k.add(key, "want an absolute path")
	}
}

func (k *checker) socket(key, path, mode string) {
	if path == "" {
		if mode != "" {
			k.add(key+"_mode", "there is no socket")
		}
		return
	}
	k.path(key, path)
	k.take(key, path)
	if len(path) > 103 { // sun_path, with its end, on the systems where it is shortest
		k.add(key, "is longer than the 103 bytes that a socket's name may have")
	}
	k.mode(key+"_mode", mode)
}

// mode checks the mode of a file or socket.
func (k *checker) mode(key, mode string) {
	if _, err := parseMode(mode, 0); err != nil {
		k.add(key, "%v", err)
	}
}

// parseMode reads a mode such as "0640", or returns another for "".
func parseMode(mode string, other uint32) (uint32, error) {
	if mode == "" {
		return other, nil
	}
	n, err := strconv.ParseUint(mode, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf(`want a mode such as "0640", in quotes`)
	}
	return uint32(n), nil
}

var appName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

func (k *checker) apps() {
	for name, app := range k.cfg.Apps {
		if !appName.MatchString(name) {
			k.add("apps", "the name %s: want letters, digits, - and _", ident.QuoteWord(name))
			continue
		}
		key := "apps." + name
		if fault, field := app.fault(); fault != "" {
			k.add(key+field, "%s", fault)
		}
		if u, err := url.Parse(app.Authority); app.Authority != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			k.add(key+".authority", "want an https URL")
		}
	}
}

// fault says what is wrong with where an app comes from, and in which field of it.
func (a App) fault() (text, field string) {
	sources := 0
	for _, file := range []string{a.SecretFile, a.Certificate, a.FederatedTokenFile} {
		if file != "" {
			sources++
		}
	}
	stated := a.Tenant != "" || a.ClientID != "" || sources > 0
	switch {
	case a.From == "env" && stated:
		return "from: env leaves tenant, client_id and credential to the environment", ""
	case a.From != "" && a.From != "env":
		return "want env, or nothing", ".from"
	case a.From == "" && (a.Tenant == "" || a.ClientID == "" || sources != 1):
		return "want from: env, or tenant, client_id and one of secret_file, certificate and federated_token_file", ""
	}
	return "", ""
}

func (k *checker) shared() {
	s := k.cfg.Shared
	switch {
	case s.Dir != "" && (s.RedisURLFile != "" || s.KeyFile != "" || s.RedisCAFile != ""):
		k.add("shared", "want dir, or redis_url_file and key_file")
	case s.Dir == "" && (s.RedisURLFile == "") != (s.KeyFile == "") || s.RedisCAFile != "" && s.RedisURLFile == "":
		k.add("shared", "want redis_url_file and key_file together")
	}
	k.path("shared.dir", s.Dir)
	k.path("shared.redis_url_file", s.RedisURLFile)
	k.path("shared.redis_ca_file", s.RedisCAFile)
	k.path("shared.key_file", s.KeyFile)
}

func (k *checker) scope(key, scope string) {
	if err := ident.CheckScope(scope); err != nil {
		k.add(key, "%s", strings.TrimPrefix(err.Error(), "apponly: "))
	}
}

func (k *checker) app(key, name string) {
	if _, ok := k.cfg.apps()[appOr(name)]; !ok {
		k.add(key, "there is no app %s", ident.QuoteWord(appOr(name)))
	}
}

func (k *checker) caller(key string, c Caller) {
	k.who(key, len(c.UID) > 0, c.Header, c.IMDS, "imds: true")
	k.uids(key, c.UID)
	switch {
	case len(c.UID) > 0 && k.cfg.Listen.Socket == "":
		k.add(key+".uid", "users are known on listen.socket, which is not there")
	case c.Header != "" && k.cfg.HeaderFile == "":
		k.add(key+".header", "there is no header_file")
	case c.IMDS && k.cfg.Listen.IMDS == "":
		k.add(key+".imds", "there is no listen.imds")
	}
	if len(c.Scopes) == 0 {
		k.add(key+".scopes", "is missing: without one the caller gets nothing")
	}
	for i, scope := range c.Scopes {
		k.scope(fmt.Sprintf("%s.scopes[%d]", key, i), scope)
	}
	for i, app := range c.Apps {
		k.app(fmt.Sprintf("%s.apps[%d]", key, i), app)
	}
}

// who checks that exactly one thing tells a caller.
func (k *checker) who(key string, uid bool, header string, third bool, name string) {
	n := 0
	for _, set := range []bool{uid, header != "", third} {
		if set {
			n++
		}
	}
	if n != 1 {
		k.add(key, "want one of uid, header and %s", name)
	}
	if header != "" && header != DefaultHeader {
		k.add(key+".header", "want %s, the secret in header_file", DefaultHeader)
	}
}

func (k *checker) uids(key string, uids []int) {
	for i, uid := range uids {
		if uid < 0 || int64(uid) >= 1<<32-1 {
			k.add(fmt.Sprintf("%s.uid[%d]", key, i), "want the ID of a user")
		}
	}
}

func (k *checker) file(key string, f File) {
	k.scope(key+".scope", f.Scope)
	k.app(key+".app", f.App)
	if f.Path == "" {
		k.add(key+".path", "is missing")
	}
	k.path(key+".path", f.Path)
	k.take(key+".path", filepath.Clean(f.Path))
	k.mode(key+".mode", f.Mode)
	if f.Group != nil && (*f.Group < 0 || int64(*f.Group) >= 1<<32-1) {
		k.add(key+".group", "want the ID of a group")
	}
	if !slices.Contains(formats, f.Format) {
		k.add(key+".format", "want token, header, curl or json")
	}
}

func (k *checker) proxy(key string, p Proxy) {
	k.scope(key+".scope", p.Scope)
	k.app(key+".app", p.App)
	k.who(key, len(p.UID) > 0, p.Header, p.Open, "open: true")
	k.uids(key, p.UID)
	switch {
	case (p.Listen == "") == (p.Socket == ""):
		k.add(key, "want listen or socket")
	case len(p.UID) > 0 && p.Socket == "":
		k.add(key+".uid", "users are known on a socket")
	case p.Header != "" && k.cfg.HeaderFile == "":
		k.add(key+".header", "there is no header_file")
	}
	k.loopback(key+".listen", p.Listen)
	k.take(key+".listen", p.Listen)
	k.socket(key+".socket", p.Socket, p.SocketMode)
	k.upstream(key+".to", p.To)
	for i, m := range p.Methods {
		// A server answers TRACE with the request that it got: with the token.
		if m != strings.ToUpper(m) || slices.Contains([]string{http.MethodConnect, http.MethodTrace, "TRACK"}, m) || !appName.MatchString(m) {
			k.add(fmt.Sprintf("%s.methods[%d]", key, i), "want a method such as GET, in capitals, and not CONNECT or TRACE")
		}
	}
}

// upstream checks the URL of an API. Plain http is for loopback, where something
// else makes the TLS.
func (k *checker) upstream(key, to string) {
	u, err := url.Parse(to)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		k.add(key, "want the URL of an API, such as https://graph.microsoft.com")
	case u.Scheme == "https":
	case u.Scheme != "http" || !isLoopbackName(u.Hostname()):
		k.add(key, "want https; http only to a loopback address")
	}
}

// isLoopbackName reports whether a host is this machine, whatever a resolver says.
func isLoopbackName(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
