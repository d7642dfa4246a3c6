// SPDX-License-Identifier: MIT

package apponly_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly"
)

// What contradicts itself is told when the client is made, all of it at once and nothing
// of the values, as is what does not go together with the option.
func TestIdentityBindingFaults(t *testing.T) {
	p := newPod(t)
	const (
		conf  = "apponly: "
		alone = " without AZURE_KUBERNETES_TOKEN_PROXY: want that as well, or none of them"
		proxy = conf + "AZURE_KUBERNETES_TOKEN_PROXY "
		both  = conf + "both AZURE_KUBERNETES_CA_FILE and AZURE_KUBERNETES_CA_DATA are set: want one of them; a webhook with the roots in its own configuration sets both, and writes no file: have the container's spec set AZURE_KUBERNETES_CA_FILE to nothing, which the webhook leaves alone"
		name  = conf + "AZURE_KUBERNETES_SNI_NAME is not the name of a host"
	)
	for _, tc := range []struct {
		env  []string
		want []string // the lines of the error
	}{
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY="}, []string{conf + "AZURE_KUBERNETES_SNI_NAME and AZURE_KUBERNETES_CA_FILE" + alone}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY= ", "AZURE_KUBERNETES_SNI_NAME="}, []string{conf + "AZURE_KUBERNETES_CA_FILE" + alone}},
		{[]string{"AZURE_KUBERNETES_TOKEN_PROXY=", "AZURE_KUBERNETES_SNI_NAME=", "AZURE_KUBERNETES_CA_FILE=", "AZURE_KUBERNETES_CA_DATA=" + string(p.binding.CAPEM())}, []string{conf + "AZURE_KUBERNETES_CA_DATA" + alone}},
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
	wantKind(t, err, apponly.ErrConfiguration, "Options.HTTPClient are both set", "Options.CAFile", "a credential is not federated")
	// A secret would go to the proxy with the rest.
	_, err = apponly.New(p.Tenant().ID(), p.App().ClientID(), apponly.FirstOf(apponly.Secret(p.Secret()), apponly.Federated(apponly.AssertionFile(p.token))), p.options())
	wantKind(t, err, apponly.ErrConfiguration, "is not federated")
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
	const forgotten, annotation = "AZURE_KUBERNETES_TOKEN_PROXY is set, but Options.IdentityBinding (APPONLY_IDENTITY_BINDING=1) is not", "azure.workload.identity/use-identity-binding"
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
