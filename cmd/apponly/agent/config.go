// SPDX-License-Identifier: MIT

package agent

import (
	"log/slog"
	"slices"
)

// DefaultApp is the name of the app that a caller gets tokens of if it names none.
const DefaultApp = "default"

// DefaultHeader is the name of the secret in [Config.HeaderFile].
const DefaultHeader = "default"

// A Config says who gets tokens of which apps for which scopes, and where. [Load]
// reads one from a file.
type Config struct {
	Listen Listen `file:"listen"`
	// Health is a listener of its own for probes and the status page. It never has a
	// token, so it may listen where others reach it.
	Health Health `file:"health"`
	// Shared lets processes share tokens; see apponly.CacheOptions.Shared.
	Shared Shared `file:"shared"`
	// HeaderFile holds the secret that callers over TCP prove themselves with. It is
	// made with 32 random bytes if it is not there, readable by the agent's user alone.
	// Required for [Listen.TCP].
	HeaderFile string `file:"header_file"`
	// Apps are by name. None: the one of the environment is [DefaultApp].
	Apps    map[string]App `file:"apps"`
	Callers []Caller       `file:"callers"`
	Files   []File         `file:"files"`
	Proxies []Proxy        `file:"proxy"`
	// Warm are scopes whose tokens of [DefaultApp] are kept at hand, and without which
	// the agent is not ready.
	Warm []string `file:"warm"`
	// AccessLog says whether calls that were served are logged, too; those that were
	// refused are in any case. nil: they are.
	AccessLog *bool `file:"access_log"`

	// Logger gets the access log and what goes wrong; nil: none.
	Logger *slog.Logger
}

// Listen says where tokens are served.
type Listen struct {
	// TCP is a loopback address and port, such as 127.0.0.1:8181.
	TCP string `file:"tcp"`
	// Socket is the path of a Unix socket, SocketMode its mode, 0600 by default.
	Socket     string `file:"socket"`
	SocketMode string `file:"socket_mode"`
	// IMDS is a loopback address, or 169.254.169.254:80, for clients that know only the
	// metadata service of virtual machines. They have no secret: whoever reaches it is
	// the caller with imds.
	IMDS string `file:"imds"`
}

// Health says where probes are answered.
type Health struct {
	TCP string `file:"tcp"`
}

// Shared names a store of tokens: Dir is a directory as package filecache wants it;
// RedisURLFile holds the URL of a Redis, and KeyFile the keys to seal with.
type Shared struct {
	Dir          string `file:"dir"`
	RedisURLFile string `file:"redis_url_file"`
	RedisCAFile  string `file:"redis_ca_file"`
	KeyFile      string `file:"key_file"`
}

// An App is whose tokens the agent has.
type App struct {
	// From is "env", for apponly.FromEnv; else the rest says who the app is, with one
	// of the three files.
	From               string   `file:"from"`
	Tenant             string   `file:"tenant"`
	ClientID           string   `file:"client_id"`
	SecretFile         string   `file:"secret_file"`
	Certificate        string   `file:"certificate"`
	FederatedTokenFile string   `file:"federated_token_file"`
	AllowedTenants     []string `file:"allowed_tenants"`
	CAFile             string   `file:"ca_file"`
	// Authority is the https URL of an authority other than that of the public cloud.
	Authority string `file:"authority"`
}

// A Caller may have tokens of Apps for Scopes. It is known by exactly one of the
// first three.
type Caller struct {
	UID    []int    `file:"uid"`    // users, on the socket
	Header string   `file:"header"` // DefaultHeader: who has the secret
	IMDS   bool     `file:"imds"`   // who reaches the listener for IMDS
	Scopes []string `file:"scopes"` // matched exactly
	Apps   []string `file:"apps"`   // none: DefaultApp
}

// A File is kept filled with a token.
type File struct {
	Scope string `file:"scope"`
	App   string `file:"app"`
	Path  string `file:"path"`
	Mode  string `file:"mode"`  // 0600 by default
	Group *int   `file:"group"` // its ID; nil: the agent's
	// Format is token, the default; header, a line for curl -H @FILE; curl, a line for
	// curl -K FILE; or json.
	Format string `file:"format"`
	// KeepExpired leaves the file when its token has ended and no other is to be had;
	// else it is removed.
	KeepExpired bool `file:"keep_expired"`
}

// A Proxy passes requests on to one API, with a token.
type Proxy struct {
	// Listen is a loopback address, Socket a path; one of them.
	Listen     string `file:"listen"`
	Socket     string `file:"socket"`
	SocketMode string `file:"socket_mode"`
	// To is the https URL of the API; http only on a loopback address.
	To      string   `file:"to"`
	Scope   string   `file:"scope"`
	App     string   `file:"app"`
	Methods []string `file:"methods"` // none: GET and HEAD
	// Its callers: users on the socket, who has the header secret, or with Open
	// everybody who reaches it. One of them.
	UID    []int  `file:"uid"`
	Header string `file:"header"`
	Open   bool   `file:"open"`
}

// appOr is the name of an app, the default one if none is given.
func appOr(name string) string {
	if name == "" {
		return DefaultApp
	}
	return name
}

// apps are those of the configuration, the environment's if it has none.
func (c *Config) apps() map[string]App {
	if len(c.Apps) == 0 {
		return map[string]App{DefaultApp: {From: "env"}}
	}
	return c.Apps
}

// needs returns the scopes of an app that the agent itself keeps tokens for.
func (c *Config) needs(app string) []string {
	var scopes []string
	add := func(of, scope string) {
		if of == app && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	for _, scope := range c.Warm {
		add(DefaultApp, scope)
	}
	for _, f := range c.Files {
		add(appOr(f.App), f.Scope)
	}
	for _, p := range c.Proxies {
		add(appOr(p.App), p.Scope)
	}
	return scopes
}

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
