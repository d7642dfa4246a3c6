// SPDX-License-Identifier: MIT

package agent_test

import (
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

// whole has every key that there is.
const whole = `listen: {tcp: 127.0.0.1:8181, socket: /run/apponly/agent.sock, socket_mode: "0660", imds: 169.254.169.254:80}
health: {tcp: 0.0.0.0:8182}
shared: {redis_url_file: /etc/redis-url, redis_ca_file: /etc/redis-ca, key_file: /etc/keys}
header_file: /run/apponly/identity-header
access_log: false
apps:
  default: {from: env}
  billing: {tenant: contoso.example, client_id: 11111111-2222-4333-8444-555555555555, certificate: /etc/billing.pem, allowed_tenants: ["*"], ca_file: /etc/ca.pem, authority: https://login.example}
callers:
- {uid: [1000, 1001], scopes: ["https://graph.microsoft.com/.default"], apps: [default, billing]}
- {header: default, scopes: ["https://vault.azure.net/.default"]}
- {imds: true, scopes: ["https://vault.azure.net/.default"]}
files:
- {scope: https://monitor.azure.com/.default, app: billing, path: /run/tokens/monitor, mode: "0640", group: 2000, format: token, keep_expired: true}
proxy:
- {listen: 127.0.0.1:9001, to: https://graph.microsoft.com, scope: https://graph.microsoft.com/.default, methods: [GET, POST], header: default}
- {socket: /run/apponly/vault.sock, socket_mode: "0600", to: https://x.vault.azure.net, scope: https://vault.azure.net/.default, app: default, uid: [1000]}
- {listen: "[::1]:9003", to: http://127.0.0.1:9999, scope: api://x/.default, open: true}
warm: [https://graph.microsoft.com/.default]
`

func TestConfig(t *testing.T) {
	t.Parallel()
	cfg, err := agent.Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(cfg.Callers)+len(cfg.Files)+len(cfg.Proxies)+len(cfg.Apps), 3+1+3+2; got != want {
		t.Errorf("read %d entries, want %d", got, want)
	}
	if cfg.AccessLog == nil || *cfg.AccessLog {
		t.Error("access_log: false was not read")
	}
}

// Each fault is told with its line and its key, all of a file at once.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	const socket = "listen: {socket: /run/a.sock}\n"
	for name, tc := range map[string]struct{ file, want string }{
		"empty":               {"", "agent.yaml:1: listen: there is nothing to do"},
		"two documents":       {"listen: {}\n---\nlisten: {}\n", "agent.yaml:2: YAML: want one document, here is a second"},
		"broken":              {"listen: [", "agent.yaml:2: YAML: did not find expected node content"},
		"unknown key":         {socket + "callerz: []\n", "agent.yaml:2: callerz: unknown key, did you mean callers?"},
		"unknown key below":   {"listen:\n  tpc: 1\n", "agent.yaml:2: listen.tpc: unknown key, did you mean tcp?"},
		"wrong type":          {socket + "callers:\n- uid: SECRET\n", "agent.yaml:3: callers[0].uid: want a list"},
		"a text":              {socket + "callers:\n- uid: [1]\n  scopes: SECRET\n", "agent.yaml:4: callers[0].scopes: want a list"},
		"a mapping":           {"listen: SECRET\n", "agent.yaml:1: listen: want a mapping of keys to values"},
		"a list":              {"callers: SECRET\n", "agent.yaml:1: callers: want a list"},
		"a bool":              {"access_log: SECRET\n", "agent.yaml:1: access_log: want true or false"},
		"twice":               {"listen: {}\nlisten: {}\n", "agent.yaml:2: listen: is in line 1 already"},
		"a number":            {socket + "callers:\n- uid: [1, SECRET]\n", "agent.yaml:3: callers[0].uid[1]: want a whole number"},
		"a mode as a number":  {"listen: {socket: /s, socket_mode: 0660}\n", "agent.yaml:1: listen.socket_mode: want text that is not empty, in quotes"},
		"an alias":            {socket + "warm: &w [a/.default]\nfiles: *w\n", "agent.yaml:3: files: aliases are not supported: write it out"},
		"nothing there":       {socket + "warm:\n", "agent.yaml:2: warm: there is nothing: want a list"},
		"nothing":             {"warm: []\n", "agent.yaml:1: listen: there is nothing to do"},
		"not loopback":        {"header_file: /h\nlisten:\n  tcp: 0.0.0.0:80\n", "agent.yaml:3: listen.tcp: want a loopback address"},
		"a name":              {"header_file: /h\nlisten:\n  tcp: agent.local:80\n", "agent.yaml:3: listen.tcp: want a loopback address"},
		"no port":             {"header_file: /h\nlisten: {tcp: 127.0.0.1}\n", "agent.yaml:2: listen.tcp: want host:port"},
		"imds elsewhere":      {"listen: {imds: 169.254.169.254:81}\n", "listen.imds: want a loopback address"},
		"no header file":      {"listen: {tcp: 127.0.0.1:0}\n", "header_file: is missing"},
		"relative":            {"listen: {tcp: 127.0.0.1:0}\nheader_file: h\n", "agent.yaml:2: header_file: want an absolute path"},
		"mode":                {"listen: {socket: /s, socket_mode: 660x}\n", "listen.socket_mode: want a mode"},
		"mode of none":        {"header_file: /h\nlisten: {tcp: 127.0.0.1:0, socket_mode: \"0660\"}\n", "listen.socket_mode: there is no socket"},
		"long socket":         {"listen: {socket: /" + strings.Repeat("s", 104) + "}\n", "is longer than the 103 bytes"},
		"app of no name":      {socket + "apps: {a.b: {from: env}}\n", "apps: the name"},
		"app without id":      {socket + "apps:\n  x: {tenant: t}\n", "agent.yaml:3: apps.x: want from: env, or"},
		"app of both":         {socket + "apps:\n  x: {from: env, tenant: t}\n", "agent.yaml:3: apps.x: from: env leaves"},
		"app from elsewhere":  {socket + "apps:\n  x: {from: vault}\n", "agent.yaml:3: apps.x.from: want env"},
		"two credentials":     {socket + "apps:\n  x: {tenant: t, client_id: c, secret_file: /a, certificate: /b}\n", "apps.x: want from: env, or"},
		"plain authority":     {socket + "apps:\n  x: {from: env, authority: http://x}\n", "apps.x.authority: want an https URL"},
		"two stores":          {socket + "shared: {dir: /a, key_file: /b}\n", "agent.yaml:2: shared: want dir, or"},
		"half a store":        {socket + "shared: {redis_url_file: /a}\n", "agent.yaml:2: shared: want redis_url_file and key_file together"},
		"nobody":              {socket + "callers:\n- {scopes: [a/.default]}\n", "agent.yaml:3: callers[0]: want one of uid, header and imds: true"},
		"two kinds":           {socket + "header_file: /h\ncallers:\n- {uid: [1], header: default, scopes: [a/.default]}\n", "callers[0]: want one of"},
		"other header":        {socket + "header_file: /h\ncallers:\n- {header: x, scopes: [a/.default]}\n", "callers[0].header: want default"},
		"no scopes":           {socket + "callers:\n- {uid: [1]}\n", "callers[0].scopes: is missing"},
		"not a scope":         {socket + "callers:\n- uid: [1]\n  scopes:\n  - a/.default\n  - user.read\n", "agent.yaml:6: callers[0].scopes[1]: "},
		"no such app":         {socket + "callers:\n- {uid: [1], scopes: [a/.default], apps: [x]}\n", "callers[0].apps[0]: there is no app"},
		"user without socket": {"header_file: /h\nlisten: {tcp: 127.0.0.1:0}\ncallers:\n- {uid: [1], scopes: [a/.default]}\n", "callers[0].uid: users are known on listen.socket"},
		"header without file": {socket + "callers:\n- {header: default, scopes: [a/.default]}\n", "callers[0].header: there is no header_file"},
		"imds without one":    {socket + "callers:\n- {imds: true, scopes: [a/.default]}\n", "callers[0].imds: there is no listen.imds"},
		"negative user":       {socket + "callers:\n- {uid: [-1], scopes: [a/.default]}\n", "callers[0].uid[0]: want the ID of a user"},
		"file without path":   {"files:\n- {scope: a/.default}\n", "agent.yaml:2: files[0].path: is missing"},
		"file format":         {"files:\n- {scope: a/.default, path: /f, format: xml}\n", "files[0].format: want token"},
		"file group":          {"files:\n- {scope: a/.default, path: /f, group: -1}\n", "files[0].group: want the ID of a group"},
		"file twice":          {"files:\n- {scope: a/.default, path: /f}\n- {scope: a/.default, path: //f}\n", "files[1].path: is that of files[0].path"},
		"address twice":       {"header_file: /h\nlisten: {tcp: 127.0.0.1:80}\nproxy:\n- {listen: 127.0.0.1:80, to: https://x, scope: a/.default, open: true}\n", "proxy[0].listen: is that of listen.tcp"},
		"proxy for nobody":    {"proxy:\n- {listen: 127.0.0.1:1, to: https://x, scope: a/.default}\n", "proxy[0]: want one of uid, header and open: true"},
		"proxy by user":       {"proxy:\n- {listen: 127.0.0.1:1, to: https://x, scope: a/.default, uid: [1]}\n", "proxy[0].uid: users are known on a socket"},
		"proxy nowhere":       {"proxy:\n- {to: https://x, scope: a/.default, open: true}\n", "proxy[0]: want listen or socket"},
		"proxy outside":       {"proxy:\n- {listen: 10.0.0.1:1, to: https://x, scope: a/.default, open: true}\n", "proxy[0].listen: want a loopback address"},
		"proxy to http":       {"proxy:\n- {listen: 127.0.0.1:1, to: http://x, scope: a/.default, open: true}\n", "proxy[0].to: want https"},
		"proxy to a query":    {"proxy:\n- {listen: 127.0.0.1:1, to: \"https://x?a=b\", scope: a/.default, open: true}\n", "proxy[0].to: want the URL of an API"},
		"proxy of CONNECT":    {"proxy:\n- {listen: 127.0.0.1:1, to: https://x, scope: a/.default, open: true, methods: [GET, CONNECT]}\n", "proxy[0].methods[1]: want a method"},
		"warm":                {socket + "warm: [x]\n", "agent.yaml:2: warm[0]: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := agent.Parse(tc.file)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v\nwant %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the value is in the error: %v", err)
			}
		})
	}
}

// All faults of a file are told at once, in its order.
func TestConfigTellsAll(t *testing.T) {
	t.Parallel()
	_, err := agent.Parse("warm: [x]\nlisten: {tcp: 10.0.0.1:1}\nfiles:\n- {path: f, scope: y}\n")
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 5 {
		t.Fatalf("got %d faults, want 5:\n%v", len(lines), err)
	}
	for i, want := range []string{":1: ", ":1: ", ":2: ", ":4: ", ":4: "} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("fault %d is %q, want line %s", i, lines[i], want)
		}
	}
}
