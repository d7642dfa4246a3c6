// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// payload returns the claims of a token that has three parts.
func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err == nil {
		err = json.Unmarshal(b, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestToken(t *testing.T) {
	t.Parallel()
	for base, open := range bases {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			status, stdout, stderr := c.run("", "token", "--scope", c.scope)
			token, one := strings.CutSuffix(stdout, "\n")
			if status != 0 || stderr != "" || !one {
				t.Fatalf("status %d, stdout %q, stderr %q", status, stdout, stderr)
			}
			if claims := payload(t, token); claims["aud"] != c.sts.API().AppID() {
				t.Errorf("the token is for %v, want %s", claims["aud"], c.sts.API().AppID())
			}
		})
	}
}

func TestTokenForms(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	get := func(form string) string {
		t.Helper()
		status, stdout, stderr := c.run("", "token", "--scope", c.scope, "--output", form)
		if status != 0 || stderr != "" || strings.Count(stdout, "\n") != 1 {
			t.Fatalf("%s: status %d, stdout %q, stderr %q", form, status, stdout, stderr)
		}
		return strings.TrimSuffix(stdout, "\n")
	}
	header, ok := strings.CutPrefix(get("header"), "Authorization: Bearer ")
	if !ok || payload(t, header)["appidacr"] == "" {
		t.Errorf("header: %q", header)
	}
	var answer struct {
		AccessToken string    `json:"access_token"`
		TokenType   string    `json:"token_type"`
		ExpiresIn   int       `json:"expires_in"`
		ExpiresOn   time.Time `json:"expires_on"`
	}
	if err := json.Unmarshal([]byte(get("json")), &answer); err != nil || answer.TokenType != "Bearer" ||
		answer.ExpiresIn < 3000 || time.Until(answer.ExpiresOn) < 50*time.Minute || payload(t, answer.AccessToken)["tid"] != c.sts.Tenant().ID() {
		t.Errorf("json: %v, %+v", err, answer)
	}
	claims := get("claims")
	var said map[string]any
	if err := json.Unmarshal([]byte(claims), &said); err != nil || said["aud"] != c.sts.API().AppID() || strings.Contains(claims, "eyJ") {
		t.Errorf("claims: %v in %q", err, claims)
	}
}

// TestTokenRefused has what fails on stderr, with what to do, and nothing on stdout.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		plant func(*clinic)
		want  string
	}{
		"wrong secret":   {find(refusalSetUps, "wrong secret"), "AADSTS7000215"},
		"unknown app":    {find(refusalSetUps, "unknown app"), "→ Check client ID, tenant and cloud."},
		"nothing set":    {func(c *clinic) { clear(c.env) }, "no credential in the environment"},
		"several faults": {func(c *clinic) { delete(c.env, "AZURE_TENANT_ID"); c.set("AZURE_CLIENT_ID", "worker") }, "AZURE_CLIENT_ID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := bases["secret"](t)
			tt.plant(c)
			status, stdout, stderr := c.run("", "token", "--scope", "api://"+c.sts.API().AppID()+"/.default")
			if status != exitFailed || stdout != "" || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, "apponly: apponly:") {
				t.Errorf("status %d, stdout %q, stderr %q; want 1 and %q", status, stdout, stderr, tt.want)
			}
			for line := range strings.Lines(stderr) {
				if !strings.HasPrefix(line, "apponly: ") {
					t.Errorf("a line without the program's name: %q", line)
				}
			}
		})
	}
}

func TestTokenUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"--scope is required":                              {"token"},
		"--scope: want the resource followed by /.default": {"token", "--scope", "User.Read"},
		"or exec-credential":                               {"token", "--output", "xml"},
		"unknown flag: --client-secret":                    {"token", "--client-secret", "x"},
		"accepts 0 arg(s)":                                 {"token", "x"},
	} {
		if status, stdout, stderr := outcome(t, args...); status != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: status %d, stdout %q, stderr %q, want %q", args, status, stdout, stderr, want)
		}
	}
}

// execCredentials runs the command as client-go does, with what it sets.
func (c *clinic) execCredentials(info string) (status int, token string, ends time.Time, stderr string) {
	c.Helper()
	c.set("KUBERNETES_EXEC_INFO", info)
	status, stdout, stderr := c.run("", "token", "--scope", c.scope, "--output", "exec-credential")
	var answer struct {
		APIVersion, Kind string
		Status           struct {
			Token               string
			ExpirationTimestamp time.Time
		}
	}
	if status == 0 {
		if err := json.Unmarshal([]byte(stdout), &answer); err != nil || answer.Kind != "ExecCredential" || answer.APIVersion != "client.authentication.k8s.io/v1" {
			c.Errorf("%v in %q", err, stdout)
		}
	} else if stdout != "" {
		c.Errorf("stdout %q", stdout)
	}
	return status, answer.Status.Token, answer.Status.ExpirationTimestamp, stderr
}

const askedV1 = `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}`

// TestExecCredentialIsKept runs it again and again: one token request for all runs,
// until the token has to be another.
func TestExecCredentialIsKept(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	requests := func() int { return c.sts.Counters().Endpoints["token"] }
	status, first, ends, stderr := c.execCredentials(askedV1)
	if status != 0 || stderr != "" || requests() != 1 {
		t.Fatalf("status %d, stderr %q, %d token requests", status, stderr, requests())
	}
	if left := time.Until(ends); payload(t, first)["exp"].(float64) != float64(ends.Add(time.Minute).Unix()) || left < 50*time.Minute {
		t.Errorf("client-go is told %v, the token says %v", ends, payload(t, first)["exp"])
	}
	for range 3 {
		if status, token, _, _ := c.execCredentials(""); status != 0 || token != first {
			t.Errorf("status %d, the same token: %t", status, token == first)
		}
	}
	if requests() != 1 {
		t.Errorf("%d token requests, want 1", requests())
	}
	info, err := os.Stat(c.path(".cache/apponly"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v: want a directory of the user alone", info, err)
	}
	c.set("AZURE_CLIENT_SECRET", c.hide("abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345")) // not asked for
	if status, token, _, stderr := c.execCredentials(askedV1); status != 0 || token != first {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// TestExecCredentialIsRefreshed has tokens that are soon past their refresh time. The
// first run that finds one waits for the next, and takes what there is if there is none.
func TestExecCredentialIsRefreshed(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	c.sts.SetRefreshIn(time.Second)
	_, first, _, _ := c.execCredentials(askedV1)
	token := first
	for begin := time.Now(); token == first && time.Since(begin) < time.Minute; {
		_, token, _, _ = c.execCredentials(askedV1)
	}
	if first == "" || token == first {
		t.Fatal("the token was not renewed")
	}
	faulty(entratest.Fault{Status: 503})(c)
	for refused := 0; refused == 0; refused = c.sts.Counters().Faults {
		status, again, _, stderr := c.execCredentials(askedV1)
		if status != 0 || again != token {
			t.Fatalf("status %d, the same token: %t, stderr %q", status, again == token, stderr)
		}
	}
}

func TestExecCredentialVersions(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	for info, want := range map[string]string{
		`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1"}`: `of "client.authentication.k8s.io/v1beta1": set apiVersion: client.authentication.k8s.io/v1`,
		`{"kind":"Pod","apiVersion":"client.authentication.k8s.io/v1"}`:                 `"Pod"`,
		`nonsense`: "KUBERNETES_EXEC_INFO is not JSON",
	} {
		if status, _, _, stderr := c.execCredentials(info); status != exitFailed || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stderr %q", info, status, stderr)
		}
	}
	if n := c.sts.Counters().Endpoints["token"]; n != 0 {
		t.Errorf("%d token requests", n)
	}
}

// TestExecCredentialWithoutADirectory gets a token where none can be kept.
func TestExecCredentialWithoutADirectory(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	c.set("XDG_CACHE_HOME", c.write("a-file", []byte("x")))
	if status, token, _, stderr := c.execCredentials(askedV1); status != 0 || token == "" || !strings.Contains(stderr, "the token is not kept for the next run") {
		t.Errorf("status %d, token %t, stderr %q", status, token != "", stderr)
	}
}
