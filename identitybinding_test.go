// SPDX-License-Identifier: MIT

package apponly_test

import (
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
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

// What contradicts itself is told when the client is made, all of it at once and nothing
// of the values, as is what does not go together with the option.
func TestIdentityBindingFaults(t *testing.T) {
	p := newPod(t)
	const (
		conf  = "apponly: "
		proxy = conf + "AZURE_KUBERNETES_TOKEN_PROXY "
		both  = conf + "both AZURE_KUBERNETES_CA_FILE and AZURE_KUBERNETES_CA_DATA are set: want one of them; a webhook with the roots in its own configuration sets both, and writes no file: have the container's spec set AZURE_KUBERNETES_CA_FILE to nothing, which the webhook leaves alone"
		name  = conf + "AZURE_KUBERNETES_SNI_NAME is not the name of a host"
	)
	for _, tc := range []struct {
		env  []string
		want []string // the lines of the error
	}{
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY="}, []string{proxy + "is not set, but AZURE_KUBERNETES_SNI_NAME and AZURE_KUBERNETES_CA_FILE"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY= ", "AZURE_KUBERNETES_SNI_NAME="}, []string{proxy + "is not set, but AZURE_KUBERNETES_CA_FILE"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=", "AZURE_KUBERNETES_SNI_NAME=", "AZURE_KUBERNETES_CA_FILE=", "AZURE_KUBERNETES_CA_DATA=" + string(p.binding.CAPEM())}, []string{proxy + "is not set, but AZURE_KUBERNETES_CA_DATA"}},
		{[]string{"AZURE_KUBERNETES_CA_DATA=" + string(p.binding.CAPEM())}, []string{both}},
		{[]string{"AZURE_KUBERNETES_CA_FILE=", "AZURE_KUBERNETES_CA_DATA=nothing"}, []string{conf + "AZURE_KUBERNETES_CA_DATA has no certificate in PEM"}},
		{[]string{"AZURE_KUBERNETES_CA_FILE=$(CA)"}, []string{conf + "AZURE_KUBERNETES_CA_FILE is a placeholder that nothing has filled in, or a URL, not the path of a file"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=http://10.0.0.1"}, []string{proxy + "is not an https URL"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=10.0.0.1"}, []string{proxy + "is not an https URL"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=10.0.0.1:443"}, []string{proxy + "is not an https URL"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=https:///x"}, []string{proxy + "has no host"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=https:x"}, []string{proxy + "has no host"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=https://user:s3cret@10.0.0.1"}, []string{proxy + "has user information in it"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=https://10.0.0.1?x=1"}, []string{proxy + "has a query"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=https://10.0.0.1/?"}, []string{proxy + "has a query"}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=https://10.0.0.1/#x"}, []string{proxy + "has a fragment"}},
		{[]string{"AZURE_KUBERNETES_SNI_NAME=https://name"}, []string{name}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=https://10.0.0.1/#x", "AZURE_KUBERNETES_SNI_NAME=a b", "AZURE_KUBERNETES_CA_DATA=x"},
			[]string{proxy + "has a fragment", name, both, conf + "AZURE_KUBERNETES_CA_DATA has no certificate in PEM"}},
		{[]string{"APPONLY_CA_FILE=/ca.pem"}, []string{conf + "Options.IdentityBinding (APPONLY_IDENTITY_BINDING) and Options.CAFile (APPONLY_CA_FILE) are both set: the roots for the proxy of the cluster are in AZURE_KUBERNETES_CA_FILE or AZURE_KUBERNETES_CA_DATA"}},
	} {
		t.Run(strings.Join(tc.env, " "), func(t *testing.T) {
			for _, kv := range append(tc.env, "APPONLY_IDENTITY_BINDING=1") {
				name, value, _ := strings.Cut(kv, "=")
				t.Setenv(name, value)
			}
			_, err := apponly.FromEnv(nil)
			if err == nil || err.Error() != strings.Join(tc.want, "\n") {
				t.Errorf("%v, want\n%s", err, strings.Join(tc.want, "\n"))
			}
			wantKind(t, err, apponly.ErrConfiguration)
			if tc.env[0] == "APPONLY_CA_FILE=/ca.pem" {
				return
			}
			if _, err := p.new(p.options()); err == nil || err.Error() != strings.Join(tc.want, "\n") {
				t.Errorf("New: %v", err)
			}
		})
	}
	for word, want := range map[string]string{"yes": conf + "APPONLY_IDENTITY_BINDING is neither true nor false", "0": "", "false": "", "true": "", "": ""} {
		t.Setenv("APPONLY_IDENTITY_BINDING", word)
		if _, err := apponly.FromEnv(nil); (err != nil) != (want != "") || err != nil && err.Error() != want {
			t.Errorf("%s: %v, want %q", word, err, want)
		}
	}

	o := p.options()
	o.HTTPClient, o.CAFile = p.HTTPClient(), "ca.pem"
	_, err := apponly.New(p.Tenant().ID(), p.App().ClientID(), apponly.Secret(p.Secret()), o)
	wantKind(t, err, apponly.ErrConfiguration, "Options.HTTPClient are both set", "Options.CAFile", "the credential is not federated")
	if _, err := apponly.New(p.Tenant().ID(), p.App().ClientID(), apponly.FirstOf(apponly.Secret(p.Secret()), apponly.Federated(apponly.AssertionFile(p.token))), p.options()); err != nil {
		t.Error(err)
	}
	_, err = apponly.New(p.Tenant().ID(), p.App().ClientID(), nil, p.options())
	if wantKind(t, err, apponly.ErrCredentialMissing); strings.Contains(err.Error(), "federated") {
		t.Error(err)
	}
	_, err = apponly.FromTokenCredential(p.client(t).TokenCredential(), p.options())
	wantKind(t, err, apponly.ErrConfiguration, "Options.IdentityBinding")
}

// Whoever has forgotten the option, or the annotation, is told once: in the log, by an
// event and by the explanation.
func TestIdentityBindingNotInEffect(t *testing.T) {
	const forgotten, annotation = "AZURE_KUBERNETES_TOKEN_PROXY is set, but Options.IdentityBinding (APPONLY_IDENTITY_BINDING) is not", "azure.workload.identity/use-identity-binding"
	variables := []string{"AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_KUBERNETES_SNI_NAME", "AZURE_KUBERNETES_CA_FILE"}
	for name, tc := range map[string]struct {
		bound, there bool // the option, and the variables
		secret       bool
		text         string
		ignored      []string
	}{
		"off":                   {false, true, false, forgotten, variables},
		"off without variables": {false, false, false, "", nil},
		"off with a secret":     {false, true, true, "", variables},
		"on without variables":  {true, false, false, annotation, nil},
		"on":                    {true, true, false, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			if !tc.there {
				for _, v := range variables {
					t.Setenv(v, "")
				}
			}
			if tc.bound {
				t.Setenv("APPONLY_IDENTITY_BINDING", "true")
			} else {
				t.Setenv("APPONLY_CA_FILE", writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), p.CAPEM()))
			}
			if tc.secret {
				t.Setenv("AZURE_CLIENT_SECRET", p.Secret())
			}
			o := &apponly.Options{Cache: p.cache, CAE: true}
			told := counting(o, apponly.EventIdentityBinding)
			c, err := apponly.FromEnv(o)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				tryForce(t, c, p.API().Scope())
				c.TokenFor(t.Context(), apponly.TokenRequest{Scope: p.API().Scope(), Claims: `{}`})
			}
			if want := min(len(tc.text), 1); int(told.Load()) != want {
				t.Errorf("%d events, want %d", told.Load(), want)
			}
			e := apponly.ExplainEnv(o)
			if !strings.Contains(e.Warning, tc.text) || (e.Warning == "") != (tc.text == "") || e.Err != nil || strings.Contains(e.Warning, "apponly: ") {
				t.Errorf("warning %q, error %v", e.Warning, e.Err)
			}
			if strings.Contains(e.String(), "\nwarning: "+tc.text) != (tc.text == forgotten) && tc.text != annotation {
				t.Errorf("printed as %s", e)
			}
			ignored := slices.DeleteFunc(slices.Clone(e.Ignored), func(name string) bool { return !strings.HasPrefix(name, "AZURE_KUBERNETES") })
			if !slices.Equal(ignored, tc.ignored) {
				t.Errorf("ignored %q, want %q", ignored, tc.ignored)
			}
		})
	}
}

// An explanation looks whether the roots are there; to make a client does not.
func TestIdentityBindingExplained(t *testing.T) {
	newPod(t)
	t.Setenv("APPONLY_IDENTITY_BINDING", "1")
	t.Setenv("AZURE_KUBERNETES_CA_FILE", filepath.Join(t.TempDir(), "gone"))
	if _, err := apponly.FromEnv(nil); err != nil {
		t.Error(err)
	}
	wantKind(t, apponly.ExplainEnv(nil).Err, apponly.ErrCredentialUnavailable, "AZURE_KUBERNETES_CA_FILE: the file it names")
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
