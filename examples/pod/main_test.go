// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

// isolate takes away what decides, and what the rehearsal sets.
func isolate(t *testing.T) (tmp string) {
	return kittest.Isolate(t, "KUBERNETES_SERVICE_HOST", "LISTEN_ADDR", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_AUTHORITY_HOST",
		"APPONLY_TRUST_AUTHORITY_HOST", "APPONLY_CA_FILE", "APPONLY_CLIENT_SECRET_FILE", "APPONLY_SCOPE", "APPONLY_URL")
}

func TestRehearse(t *testing.T) {
	tmp := isolate(t)
	entra := entratest.New(t)
	var out kittest.Output
	if err := rehearse(t.Context(), &out, entra); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	kittest.WantLines(t, out.String(), "credential: secret (APPONLY_CLIENT_SECRET_FILE is set)", "msg=ready",
		`msg=called url=https://api.example.com/orders status="200 OK"`, "msg=stopped",
		"GET /healthz was answered 200 OK.", "GET /readyz was answered 200 OK.")
	kittest.WantNoSecrets(t, out.String(), entra.Secret())
	kittest.WantEmpty(t, tmp)
}

func TestRun(t *testing.T) {
	isolate(t)
	if err := run(t.Context(), io.Discard); err != nil {
		t.Errorf("run: %v", err)
	}
}

// In a cluster nothing is emulated: the error says what the pod lacks.
func TestRunInAClusterWithoutIdentity(t *testing.T) {
	isolate(t)
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	t.Setenv("LISTEN_ADDR", "127.0.0.1:0")
	var out kittest.Output
	err := run(t.Context(), &out)
	if !errors.Is(err, apponly.ErrCredentialMissing) || !strings.Contains(err.Error(), `azure.workload.identity/use: "true"`) {
		t.Errorf("run = %v, want ErrCredentialMissing and the webhook's label", err)
	}
	kittest.WantLines(t, out.String(), "credential: none", "error: ")
}

// The pod is ready while it has a token that lasts, whatever becomes of Entra, and alive in
// any case.
func TestProbes(t *testing.T) {
	kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		entra.SetTokenLifetime(time.Hour)
		client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()),
			&apponly.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient()})
		if err != nil {
			t.Fatal(err)
		}
		p := &pod{client: client, scope: entra.API().Scope()}
		want := func(when string, status int, text string) {
			t.Helper()
			for path, status := range map[string]int{"/healthz": http.StatusOK, "/readyz": status} {
				w := httptest.NewRecorder()
				p.probes().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
				if w.Code != status || path == "/readyz" && !strings.Contains(w.Body.String(), text) {
					t.Errorf("%s: GET %s = %d %q, want %d and %q", when, path, w.Code, w.Body, status, text)
				}
				kittest.WantNoSecrets(t, w.Body.String(), entra.Secret())
			}
			page := httptest.NewRecorder()
			p.probes().ServeHTTP(page, httptest.NewRequest("GET", "/statusz", nil))
			if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), p.scope) {
				t.Errorf("%s: GET /statusz = %d", when, page.Code)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		want("at first", 503, "not-ready "+p.scope+": missing; not asked for yet")
		go client.KeepWarm(ctx, p.scope)
		synctest.Wait()
		want("with a token", 200, "ready "+p.scope)
		entra.App().RemoveSecret(entra.Secret())
		time.Sleep(57 * time.Minute)
		want("refused, the token still good", 200, "degraded "+p.scope)
		time.Sleep(90 * time.Second)
		want("refused, the token about to end", 503, "client secret is not one of the app's")
		time.Sleep(3 * time.Minute)
		want("refused, the token ended", 503, "client secret is not one of the app's")
		stop()
		synctest.Wait()
	})
}

// A pod that cannot get a token waits, says why, and stops when it is told to.
func TestServeWithoutAToken(t *testing.T) {
	isolate(t)
	entra := entratest.New(t)
	m, err := parse(read(t, "secret.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m.setup(t, t.TempDir(), map[string]string{"client-secret": "this-is-not-the-secret"}, nil)
	env, err := environment(entra, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var out kittest.Output
	done := make(chan error, 1)
	go func() { done <- serve(ctx, &out, ln, http.DefaultTransport) }()
	// The log follows the status; who stops at once may miss it.
	for why := ""; !strings.Contains(why, "client secret is not one of the app's") || !strings.Contains(out.String(), "secret_invalid"); {
		resp, err := http.Get("http://" + ln.Addr().String() + "/readyz")
		if err != nil {
			t.Fatalf("%v; the last answer was %q", err, why)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("GET /readyz = %s, %v; want 503", resp.Status, err)
		}
		why = string(body)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("serve = %v, want nil: it was told to stop", err)
	}
	kittest.WantLines(t, out.String(), "level=WARN", "secret_invalid", "remedy=", "msg=stopped")
	kittest.WantNoSecrets(t, out.String(), entra.Secret())
}
