// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

const (
	fixedTenant = "6F1D2A34-5B6C-4D7E-8F90-A1B2C3D4E5F6"
	fixedApp    = "0A1B2C3D-4E5F-4061-8273-94A5B6C7D8E9"
	fixedAPI    = "1B2C3D4E-5F60-4172-8394-A5B6C7D8E9F0"
)

// TestFixedIDs gives the IDs in capitals, as some portals show them, and finds
// them in a token in the one form that Entra writes.
func TestFixedIDs(t *testing.T) {
	s := entratest.New(t)
	tenant := s.AddTenantID(fixedTenant, "fixed.example")
	app := tenant.NewAppID(fixedApp)
	api := tenant.NewResourceID(fixedAPI, "", "Read")
	api.Grant(tenant, app, "Read")
	app.AddSecret("s3cret", time.Now().Add(time.Hour))

	form := secretForm(s)
	form.Set("client_id", fixedApp)
	form.Set("client_secret", "s3cret")
	form.Set("scope", api.Scope())
	got := postForm(t, s, "fixed.example", form)
	if got.Status != http.StatusOK {
		t.Fatalf("got %d %s", got.Status, got.Description)
	}
	_, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), fixedTenant, got.AccessToken)
	for claim, want := range map[string]string{"tid": fixedTenant, "azp": fixedApp, "aud": fixedAPI} {
		if claims[claim] != strings.ToLower(want) {
			t.Errorf("%s = %v, want %s", claim, claims[claim], strings.ToLower(want))
		}
	}
	if want := "api://" + strings.ToLower(fixedAPI); api.URI() != want {
		t.Errorf("URI = %q, want %q", api.URI(), want)
	}
}

// TestRandomIDs has IDs that nobody chose be what a strict parser takes: of
// version 4 (RFC 9562).
func TestRandomIDs(t *testing.T) {
	s := entratest.New(t)
	version4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for range 50 {
		if id := s.AddTenant().ID(); !version4.MatchString(id) {
			t.Fatalf("tenant ID %s", id)
		}
	}
}

func TestFixedIDsMisused(t *testing.T) {
	s := entratest.New(t)
	tenant := s.AddTenantID(fixedTenant)
	tenant.NewAppID(fixedApp)
	tenant.NewResourceID(fixedAPI, "")
	for name, tt := range map[string]struct {
		want string
		do   func()
	}{
		"tenant ID is no GUID":      {"not a GUID", func() { s.AddTenantID("contoso.example") }},
		"tenant ID empty":           {"not a GUID", func() { s.AddTenantID("00000000-0000-0000-0000-000000000000") }},
		"client ID empty":           {"not a GUID", func() { tenant.NewAppID("00000000-0000-0000-0000-000000000000") }},
		"tenant ID twice":           {"is taken", func() { s.AddTenantID(strings.ToLower(fixedTenant)) }},
		"client ID is no GUID":      {"not a GUID", func() { tenant.NewAppID("") }},
		"client ID twice":           {"is taken", func() { s.Tenant().NewAppID(strings.ToLower(fixedApp)) }},
		"client ID of a resource":   {"is taken", func() { tenant.NewAppID(fixedAPI) }},
		"resource ID is no GUID":    {"not a GUID", func() { tenant.NewResourceID("api://x", "") }},
		"resource ID of an app":     {"is taken", func() { tenant.NewResourceID(fixedApp, "") }},
		"resource ID of the demo's": {"is taken", func() { tenant.NewResourceID(s.API().AppID(), "") }},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, tt.want) {
					t.Errorf("panic %q, want one with %q", got, tt.want)
				}
			}()
			tt.do()
		})
	}
}

// TestTakenIDs has two want the same ID at the same time.
func TestTakenIDs(t *testing.T) {
	s := entratest.New(t)
	for n := range 300 {
		id := fmt.Sprintf("11111111-2222-4333-8444-55555555%04x", n)
		for what, make := range map[string]func(){
			"tenant": func() { s.AddTenantID(id) },
			"app ID": func() { s.Tenant().NewAppID(id) },
		} {
			var made atomic.Int32
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					defer func() {
						if recover() == nil {
							made.Add(1)
						}
					}()
					make()
				})
			}
			wg.Wait()
			if made.Load() != 1 {
				t.Fatalf("%s: %d got the same ID, want 1", what, made.Load())
			}
		}
	}
}
