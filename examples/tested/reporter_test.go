// SPDX-License-Identifier: MIT

package tested_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/tested"
)

// A token, and nothing else.
func TestToken(t *testing.T) {
	sts := entratest.New(t)
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := client.Token(t.Context(), sts.API().Scope())
	if err != nil || token.IsZero() {
		t.Errorf("got %v, %v", token, err)
	}
}

// inMemory is an API without a socket, which a bubble would not wait for.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// newReporter returns a daemon whose API lets nobody in without a good token.
func newReporter(t *testing.T, sts *entratest.Server, cred apponly.Credential) *tested.Reporter {
	t.Helper()
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), cred, &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
	})
	if err != nil {
		t.Fatal(err)
	}
	orders := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	api, err := client.HTTPClient(sts.API().Scope(), &apponly.TransportOptions{
		Hosts: []string{"orders.test"},
		Base:  inMemory{sts.API().Protect(orders, "Data.Read.All")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &tested.Reporter{API: api, URL: "https://orders.test/", OnError: func(err error) { t.Error(err) }}
}

// Entra is down for ten minutes, and nobody notices.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := entratest.New(t)
		r := newReporter(t, sts, apponly.Secret(sts.Secret()))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go r.Run(ctx)

		time.Sleep(24 * time.Hour) // takes no time in a bubble
		remove, err := sts.AddFault(entratest.Fault{Endpoint: "token", Status: http.StatusServiceUnavailable})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		remove()
		time.Sleep(24 * time.Hour)
		if n := sts.TokenRequests(); n > 100 {
			t.Errorf("%d token requests in two days", n)
		}
	})
}

// The secret is exchanged in its file, and the one before it goes.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sts := entratest.New(t)
		sts.SetPropagation(time.Minute) // as Entra's replicas do
		file := filepath.Join(dir, "secret")
		write(t, file, sts.Secret())
		r := newReporter(t, sts, apponly.SecretFile(file))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go r.Run(ctx)

		time.Sleep(90 * time.Second)
		write(t, file, sts.App().NewSecret(time.Now().AddDate(0, 6, 0)))
		time.Sleep(2 * time.Hour)
		sts.App().RemoveSecret(sts.Secret())
		time.Sleep(24 * time.Hour)
	})
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What Entra refuses, it refuses for a reason that the emulator has as well.
func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(*entratest.Server)
		want    error
	}{
		"secret removed":   {func(sts *entratest.Server) { sts.App().RemoveSecret(sts.Secret()) }, apponly.ErrSecretInvalid},
		"secret expired":   {func(*entratest.Server) { time.Sleep(10 * 365 * 24 * time.Hour) }, apponly.ErrSecretExpired},
		"tenant suspended": {func(sts *entratest.Server) { sts.Tenant().SetDisabled(true) }, apponly.ErrTenantBlocked},
		"app removed":      {func(sts *entratest.Server) { sts.App().Remove() }, apponly.ErrAppNotFound},
		"a policy":         {func(sts *entratest.Server) { sts.Tenant().Block(sts.App(), 53003) }, apponly.ErrPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := entratest.New(t)
				r := newReporter(t, sts, apponly.Secret(sts.Secret()))
				tt.happens(sts)
				if err := r.Report(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		})
	}
}
