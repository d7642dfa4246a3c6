// SPDX-License-Identifier: MIT

package entratest_test

import (
	"net/http"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// TestExpose has one registration be a service and the scope of its own: its token is
// for its own client ID, as that of the commonest small setup is.
func TestExpose(t *testing.T) {
	s := entratest.New(t)
	api := s.App().Expose("", "Jobs.Run")
	if api.AppID() != s.App().ClientID() || api.URI() != "api://"+s.App().ClientID() {
		t.Fatalf("app ID %s, URI %s", api.AppID(), api.URI())
	}
	api.Grant(s.Tenant(), s.App(), "Jobs.Run")
	form := secretForm(s)
	form.Set("scope", api.Scope())
	got := postForm(t, s, s.Tenant().ID(), form)
	if got.Status != http.StatusOK {
		t.Fatalf("got %d %s", got.Status, got.Description)
	}
	claims := claimsOf(t, got.AccessToken)
	if claims["aud"] != s.App().ClientID() || claims["azp"] != s.App().ClientID() || claims["roles"].([]any)[0] != "Jobs.Run" {
		t.Errorf("claims %v", claims)
	}

	// It is one principal wherever the app is, and one that is for its own tenant alone
	// as either.
	other := s.AddTenant()
	other.Install(s.App())
	if got := postForm(t, s, other.ID(), form); got.Status != http.StatusOK {
		t.Errorf("where the app is installed: %d %s", got.Status, got.Description)
	}
	api.SetMultiTenant(false)
	if got := postForm(t, s, other.ID(), form); len(got.Codes) != 1 || got.Codes[0] != 700016 {
		t.Errorf("for its own tenant alone: %d %s", got.Status, got.Description)
	}

	// Removed as either it is gone as both.
	api.Remove()
	if got := postForm(t, s, s.Tenant().ID(), secretForm(s)); len(got.Codes) != 1 || got.Codes[0] != 700016 {
		t.Errorf("the app of an API that was removed: %d %s", got.Status, got.Description)
	}
	s.Tenant().NewResourceID(s.App().ClientID(), api.URI())
}

func TestExposeMistakes(t *testing.T) {
	s := entratest.New(t)
	load := s.Loader()
	app, gone, far := s.Tenant().NewApp(), s.Tenant().NewApp(), s.AddTenant()
	gone.Remove()
	homeless := far.NewApp()
	far.Remove()
	identity := s.Tenant().NewManagedIdentity().App()
	app.Expose("")
	for want, err := range map[string]error{
		app.ClientID() + " is an API already":                                                          second(load.Expose(app, "api://again")),
		gone.ClientID() + " has been removed":                                                          second(load.Expose(gone, "")),
		identity.ClientID() + " is a managed identity, which is no API":                                second(load.Expose(identity, "")),
		"the tenant " + far.ID() + " has been removed":                                                 second(load.Expose(homeless, "")),
		"another API of the tenant " + s.Tenant().ID() + ` has the URI "api://` + app.ClientID() + `"`: second(load.Expose(s.App(), "api://"+app.ClientID())),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	// What failed has changed nothing.
	s.App().Expose("")
}
