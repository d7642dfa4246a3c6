// SPDX-License-Identifier: MIT

package apponly_test

import (
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// A pod is a program in a cluster with an identity binding.
type pod struct {
	*entratest.Server
	binding *entratest.IdentityBinding
	cache   *apponly.Cache
	env     map[string]string
	token   string // the path of the projected token
	roots   string // likewise
}

// newPod sets the environment as the webhook does: with the roots in a file.
func newPod(t *testing.T) *pod {
	s := entratest.New(t)
	s.StartTLS()
	p := &pod{Server: s, cache: apponly.NewCache(nil), binding: s.NewIdentityBinding(s.App(), "system:serviceaccount:prod:worker")}
	dir := t.TempDir()
	p.token = writeFile(t, filepath.Join(dir, "token"), []byte(p.binding.Token()))
	p.roots = writeFile(t, filepath.Join(dir, "ca.crt"), p.binding.CAPEM())
	p.env = p.binding.Env()
	maps.Copy(p.env, map[string]string{
		"AZURE_TENANT_ID": s.Tenant().ID(), "AZURE_CLIENT_ID": s.App().ClientID(), "AZURE_FEDERATED_TOKEN_FILE": p.token,
		"AZURE_AUTHORITY_HOST": s.Cloud().Authority(), "APPONLY_TRUST_AUTHORITY_HOST": "1",
		"AZURE_KUBERNETES_CA_FILE": p.roots, "AZURE_KUBERNETES_CA_DATA": "",
	})
	setEnv(t)
	for name, value := range p.env {
		t.Setenv(name, value)
	}
	return p
}

func (p *pod) options() *apponly.Options {
	return &apponly.Options{Cloud: p.Cloud(), Cache: p.cache, IdentityBinding: true}
}

func (p *pod) client(t *testing.T) *apponly.Client {
	t.Helper()
	c, err := p.new(p.options())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *pod) new(o *apponly.Options) (*apponly.Client, error) {
	return apponly.New(p.Tenant().ID(), p.App().ClientID(), apponly.Federated(apponly.AssertionFile(p.token)), o)
}

// The proxy checks the name that TLS asks for, the Host header and the path, and Entra
// takes what it sends and not what is in the file. Clients of equal variables share
// their tokens, with nobody else.
func TestIdentityBinding(t *testing.T) {
	p := newPod(t)
	t.Setenv("APPONLY_IDENTITY_BINDING", "1")
	for range 2 {
		c, err := apponly.FromEnv(&apponly.Options{Cache: p.cache})
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, p.API().Scope())
		mustToken(t, p.client(t), p.API().Scope())
	}
	if n := len(p.Requests()); n != 1 {
		t.Errorf("%d requests for four clients of one binding", n)
	}
	plain := &apponly.Options{Cloud: p.Cloud(), Cache: p.cache, CAFile: writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), p.CAPEM())}
	c, err := p.new(plain)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Token(t.Context(), p.API().Scope())
	wantKind(t, err, apponly.ErrFederationMismatch, "AADSTS700212", "for the cluster's proxy and not for Entra", "Options.IdentityBinding", "APPONLY_IDENTITY_BINDING")

	// Other roots are other settings.
	t.Setenv("AZURE_KUBERNETES_CA_FILE", "")
	t.Setenv("AZURE_KUBERNETES_CA_DATA", string(p.binding.CAPEM()))
	mustToken(t, p.client(t), p.API().Scope())
	t.Setenv("AZURE_KUBERNETES_CA_DATA", strings.ReplaceAll(string(p.binding.CAPEM()), "\n", `\n`))
	mustToken(t, p.client(t), p.API().Scope())
	if n := len(p.Requests()); n != 4 {
		t.Errorf("%d requests, want one for each of four settings", n)
	}
	writeFile(t, p.token, []byte(p.FederatedToken()))
	err = tryForce(t, p.client(t), p.API().Scope())
	if !strings.Contains(err.Error(), "the cluster's token proxy answered") {
		t.Errorf("a refusal of the proxy's own: %v", err)
	}
}

// The proxy has to be the one that the roots and the name say, whoever else trusts it.
func TestIdentityBindingTrusts(t *testing.T) {
	p := newPod(t)
	other := writeFile(t, filepath.Join(t.TempDir(), "other.crt"), p.CAPEM())
	for _, tc := range []struct{ name, value, text string }{
		{"AZURE_KUBERNETES_CA_FILE", other, "unknown authority"},
		{"AZURE_KUBERNETES_CA_FILE", "", "unknown authority"}, // by the system
		{"AZURE_KUBERNETES_SNI_NAME", "other.test", "TLS: "},
		{"AZURE_KUBERNETES_SNI_NAME", "", "TLS: "},
		{"AZURE_KUBERNETES_TOKEN_PROXY", p.Cloud().Authority(), "TLS: the server's certificate was not accepted"},
	} {
		t.Run(tc.name+"="+tc.value, func(t *testing.T) {
			t.Setenv(tc.name, tc.value)
			_, err := p.client(t).Token(t.Context(), p.API().Scope())
			wantKind(t, err, apponly.ErrUnreachable, "through the proxy 127.0.0.1:", tc.text)
		})
	}
}

// The file of roots is read for each token request. While it is empty or gone the roots
// that were read last stay; if there are none it is nobody's outage.
func TestIdentityBindingRoots(t *testing.T) {
	p := newPod(t)
	for _, content := range []string{"", "nothing"} {
		writeFile(t, p.roots, []byte(content))
		c := p.client(t)
		_, err := c.Token(t.Context(), p.API().Scope())
		wantKind(t, err, apponly.ErrCAFile, "AZURE_KUBERNETES_CA_FILE", p.roots)
	}
	writeFile(t, p.roots, p.binding.CAPEM())
	force(t, p.client(t), p.API().Scope())
	renew := func() error { // by a client without a memory
		o := p.options()
		o.Cache = apponly.NewCache(nil)
		c, err := p.new(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), p.API().Scope())
		return err
	}
	for _, content := range []string{"", "nothing"} {
		writeFile(t, p.roots, []byte(content))
		if err := renew(); err != nil {
			t.Errorf("while the file is %q: %v", content, err)
		}
	}
	p.binding.Rollover()
	wantKind(t, renew(), apponly.ErrUnreachable, "unknown authority")
	writeFile(t, p.roots, p.binding.CAPEM())
	if err := renew(); err != nil {
		t.Errorf("with the root of now: %v", err)
	}
}

// A file that changes ends the memory of what was wrong with it.
func TestIdentityBindingRootsAreLookedAtAgain(t *testing.T) {
	p := newPod(t)
	writeFile(t, p.roots, nil)
	synctest.Test(t, func(t *testing.T) { // the proxy is not asked
		p.cache = apponly.NewCache(nil)
		c := p.client(t)
		for range 10 { // until the pause is long
			_, err := c.Token(t.Context(), p.API().Scope())
			wantKind(t, err, apponly.ErrCAFile, "is empty")
			time.Sleep(15 * time.Second)
		}
		_, err := c.Token(t.Context(), p.API().Scope())
		wantKind(t, err, apponly.ErrCAFile, "is empty")
		writeFile(t, p.roots, []byte("nothing"))
		time.Sleep(1100 * time.Millisecond)
		_, err = c.Token(t.Context(), p.API().Scope())
		wantKind(t, err, apponly.ErrCAFile, "no certificate in PEM")
	})
}

// Any number of token requests go while the roots change.
func TestIdentityBindingUnderRotation(t *testing.T) {
	p := newPod(t)
	mustToken(t, p.client(t), p.API().Scope())
	second := p.NewIdentityBinding(p.Tenant().NewManagedIdentity().App(), "x").CAPEM()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			o := p.options()
			o.Cache = apponly.NewCache(nil)
			c, err := p.new(o)
			if err == nil {
				_, err = c.Token(t.Context(), p.API().Scope())
			}
			if err != nil {
				t.Error(err)
			}
		})
		if roots := p.binding.CAPEM(); i%2 == 0 {
			writeFile(t, p.roots, append(roots, second...))
		} else {
			writeFile(t, p.roots, roots)
		}
	}
	wg.Wait()
}

// A redirect would take the assertion elsewhere.
func TestIdentityBindingIsNotRedirected(t *testing.T) {
	p := newPod(t)
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	t.Setenv("AZURE_KUBERNETES_TOKEN_PROXY", server.URL)
	t.Setenv("AZURE_KUBERNETES_SNI_NAME", "example.com")
	writeFile(t, p.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	_, err := p.client(t).Token(t.Context(), p.API().Scope())
	wantKind(t, err, apponly.ErrService, "is a redirect, which is not followed")
	if asked != 1 {
		t.Errorf("%d requests", asked)
	}
}

// An audience that another cloud wants is named once Entra has refused it, never before.
func TestAudienceOfAnotherCloud(t *testing.T) {
	s := newSTS(t)
	const text = "the assertion is for the public cloud; the audience here is api://AzureADTokenExchangeChina"
	refusal := status(401, `{"error":"invalid_client","error_codes":[700212],"error_description":"AADSTS700212: no"}`)
	for _, tc := range []struct {
		cloud    cloud.Cloud
		audience string
		want     bool
	}{
		{cloud.China, "api://AzureADTokenExchange", true},
		{cloud.China, "api://AzureADTokenExchangeChina", false},
		{cloud.Public, "api://AzureADTokenExchange", false},
	} {
		o := s.options()
		o.Cloud = tc.cloud
		file := writeFile(t, filepath.Join(t.TempDir(), "token"), []byte(s.Issuer().Token(entratest.Claims{Subject: "x", Audience: tc.audience})))
		c, err := apponly.New(someTenant, someClient, apponly.Federated(apponly.AssertionFile(file)), o)
		if err != nil {
			t.Fatal(err)
		}
		s.setFault(refusal)
		before := s.requests()
		_, err = c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrFederationMismatch, "AADSTS700212")
		if strings.Contains(err.Error(), text) != tc.want || s.requests() == before {
			t.Errorf("%s in %s: %v after %d requests", tc.audience, tc.cloud, err, s.requests()-before)
		}
	}
}
