// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
)

// secrets are what may end up in the wrong place, by kind.
func secrets(s *sts) map[string]string {
	return map[string]string{
		"secret":      canarySecret,
		"of Entra":    "abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345",
		"in base64":   "3f+aB7kQ2/x9ZpL4mN8vR1tY6wE0sD5gH/aB7kQ2x9Z=",
		"JWT":         s.FederatedToken(),
		"PEM":         string(s.Certificate().PEM()),
		"PEM, folded": strings.ReplaceAll(string(s.Certificate().PEM()), "\n", " "),
		"key":         string(encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(s.Certificate().Key))),
	}
}

// A secret that is put into the wrong variable, argument, option or file is not
// printed by anything that comes of it.
func TestSecretInTheWrongPlace(t *testing.T) {
	s := newSTS(t)
	dir := t.TempDir()
	t.Chdir(dir)
	tenant, client := s.Tenant().ID(), s.App().ClientID()
	const binding, nowhere = "APPONLY_IDENTITY_BINDING=1", "AZURE_KUBERNETES_TOKEN_PROXY=https://127.0.0.1:1"
	good := writeFile(t, filepath.Join(dir, "good.pem"), s.Certificate().PEM())
	env := func(vars ...string) func(*testing.T, string, *apponly.Options) (*apponly.Client, error) {
		return func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			setEnv(t, "AZURE_TENANT_ID="+tenant, "AZURE_CLIENT_ID="+client)
			for _, v := range vars {
				name, value, ok := strings.Cut(v, "=")
				if !ok {
					value = secret
				}
				t.Setenv(name, value)
			}
			if o.HTTPClient = s.http; slices.Contains(vars, "APPONLY_CA_FILE") || slices.Contains(vars, binding) {
				o.HTTPClient = nil
			}
			if o.Cloud = s.Cloud(); slices.Contains(vars, "AZURE_AUTHORITY_HOST") {
				o.Cloud = cloud.Public
			}
			e := apponly.ExplainEnv(o)
			canaries{secret}.checkFormats(t, "explanation", e, []string{"%v", "%+v", "%#v", "%s"})
			canaries{secret}.walk(t, "explanation", e)
			return apponly.FromEnv(o)
		}
	}
	with := func(cred func(secret string) apponly.Credential) func(*testing.T, string, *apponly.Options) (*apponly.Client, error) {
		return func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			c := cred(secret)
			canaries{secret}.walk(t, "credential", c)
			return apponly.New(tenant, client, c, o)
		}
	}
	content := func(secret string) string { return writeFile(t, filepath.Join(dir, "content"), []byte(secret)) }
	const ok = "AZURE_CLIENT_SECRET=wrong"
	token := "AZURE_FEDERATED_TOKEN_FILE=" + writeFile(t, filepath.Join(dir, "token"), []byte(s.FederatedToken()))
	places := map[string]func(*testing.T, string, *apponly.Options) (*apponly.Client, error){
		"APPONLY_CREDENTIAL":                       env("APPONLY_CREDENTIAL", ok),
		"AZURE_TOKEN_CREDENTIALS":                  env("AZURE_TOKEN_CREDENTIALS", ok),
		"AZURE_TENANT_ID":                          env("AZURE_TENANT_ID", ok),
		"AZURE_CLIENT_ID":                          env("AZURE_CLIENT_ID", ok),
		"AZURE_CLIENT_SECRET":                      env("AZURE_CLIENT_SECRET"),
		"APPONLY_CLIENT_SECRET_FILE":               env("APPONLY_CLIENT_SECRET_FILE"),
		"AZURE_CLIENT_CERTIFICATE_PATH":            env("AZURE_CLIENT_CERTIFICATE_PATH"),
		"APPONLY_CLIENT_CERTIFICATE_KEY_PATH":      env("APPONLY_CLIENT_CERTIFICATE_KEY_PATH", "AZURE_CLIENT_CERTIFICATE_PATH="+good),
		"APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE": env("APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE", "AZURE_CLIENT_CERTIFICATE_PATH="+good),
		"AZURE_CLIENT_SEND_CERTIFICATE_CHAIN":      env("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "AZURE_CLIENT_CERTIFICATE_PATH="+good),
		"AZURE_FEDERATED_TOKEN_FILE":               env("AZURE_FEDERATED_TOKEN_FILE"),
		"AZURE_AUTHORITY_HOST":                     env("AZURE_AUTHORITY_HOST", ok),
		"APPONLY_TRUST_AUTHORITY_HOST":             env("APPONLY_TRUST_AUTHORITY_HOST", "AZURE_AUTHORITY_HOST=https://x.test", ok),
		"AZURE_ADDITIONALLY_ALLOWED_TENANTS":       env("AZURE_ADDITIONALLY_ALLOWED_TENANTS", ok),
		"APPONLY_CA_FILE":                          env("APPONLY_CA_FILE", ok),
		"APPONLY_IDENTITY_BINDING":                 env("APPONLY_IDENTITY_BINDING", token),
		"AZURE_KUBERNETES_TOKEN_PROXY":             env("AZURE_KUBERNETES_TOKEN_PROXY", binding, token),
		"AZURE_KUBERNETES_SNI_NAME":                env("AZURE_KUBERNETES_SNI_NAME", binding, token, nowhere),
		"AZURE_KUBERNETES_CA_FILE":                 env("AZURE_KUBERNETES_CA_FILE", binding, token, nowhere),
		"AZURE_KUBERNETES_CA_DATA":                 env("AZURE_KUBERNETES_CA_DATA", binding, token, nowhere),
		"all paths at once":                        env("APPONLY_CLIENT_CERTIFICATE_KEY_PATH", "APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE", "AZURE_CLIENT_CERTIFICATE_PATH", "APPONLY_CA_FILE"),

		"SecretFile":    with(apponly.SecretFile),
		"AssertionFile": with(func(secret string) apponly.Credential { return apponly.Federated(apponly.AssertionFile(secret)) }),
		"CertificateFile": with(func(secret string) apponly.Credential {
			return apponly.CertificateFile(secret, nil)
		}),
		"KeyFile": with(func(secret string) apponly.Credential {
			return apponly.CertificateFile(good, &apponly.CertificateFileOptions{KeyFile: secret})
		}),
		"PasswordFile": with(func(secret string) apponly.Credential {
			return apponly.CertificateFile(good, &apponly.CertificateFileOptions{PasswordFile: secret})
		}),
		"a FirstOf": with(func(secret string) apponly.Credential {
			return apponly.FirstOf(apponly.SecretFile(secret), apponly.CertificateFile(secret, nil))
		}),
		"tenant": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			return apponly.New(secret, client, apponly.Secret("x"), o)
		},
		"client": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			return apponly.New(tenant, secret, apponly.Secret("x"), o)
		},
		"Cloud": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			o.Cloud = cloud.Custom(secret)
			canaries{secret}.walk(t, "options", o)
			return apponly.New(tenant, client, apponly.Secret("x"), o)
		},
		"AllowedTenants": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			o.AllowedTenants = []string{secret}
			return apponly.New(tenant, client, apponly.Secret("x"), o)
		},
		"CAFile": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			o.HTTPClient, o.CAFile = nil, secret
			return apponly.New(tenant, client, apponly.Secret("x"), o)
		},
		"Hosts": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			_, err := apponly.NewTransport(s.client(t), s.API().Scope(), &apponly.TransportOptions{Hosts: []string{secret}, AllowHTTP: []string{secret}})
			return nil, err
		},
		"another tenant": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			return s.client(t).Tenant(secret)
		},

		"secret file": with(func(secret string) apponly.Credential { return apponly.SecretFile(content(secret)) }),
		"assertion file": with(func(secret string) apponly.Credential {
			return apponly.Federated(apponly.AssertionFile(content(secret)))
		}),
		"certificate file": with(func(secret string) apponly.Credential {
			return apponly.CertificateFile(content(secret), &apponly.CertificateFileOptions{KeyFile: content(secret)})
		}),
		"password file": with(func(secret string) apponly.Credential {
			return apponly.CertificateFile(good, &apponly.CertificateFileOptions{PasswordFile: content(secret)})
		}),
		"CA file": func(t *testing.T, secret string, o *apponly.Options) (*apponly.Client, error) {
			return env("APPONLY_CA_FILE="+content(secret), ok)(t, secret, o)
		},
	}
	refused := 0
	for place, try := range places {
		for kind, secret := range secrets(s) {
			t.Run(place+"/"+kind, func(t *testing.T) {
				c := canaries{secret}
				if body := strings.Fields(strings.ReplaceAll(secret, "-----", "")); len(body) > 4 {
					c = append(c, body[4]) // a line of the base64
				}
				if strings.HasPrefix(secret, "eyJ") {
					c = append(c, secret[strings.LastIndexByte(secret, '.')+1:])
				}
				var log bytes.Buffer
				var events []apponly.Event
				o := s.options()
				o.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				o.OnEvent = func(_ context.Context, e apponly.Event) { events = append(events, e) }
				client, err := try(t, secret, o)
				if err != nil {
					refused++
				} else if client != nil {
					_, err = client.Token(t.Context(), s.API().Scope())
					c.walk(t, "status", client.Status())
				}
				if err != nil {
					c.checkError(t, "error", err)
				}
				c.walk(t, "events", events)
				if found := c.find(log.String()); found != "" {
					t.Errorf("the log shows %q", found)
				}
			})
		}
	}
	if refused < 100 {
		t.Errorf("only %d were refused at once", refused)
	}
}

// A password that could be the name of a file is not shown either.
func TestPasswordInPlaceOfItsFile(t *testing.T) {
	s := newSTS(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{
		"APPONLY_CLIENT_SECRET_FILE", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE", "APPONLY_CLIENT_CERTIFICATE_KEY_PATH",
	} {
		for _, password := range []string{"correct-horse", "battery/staple", "Hunter-2!"} {
			setEnv(t, "AZURE_TENANT_ID="+s.Tenant().ID(), "AZURE_CLIENT_ID="+s.App().ClientID(), name+"="+password)
			if strings.HasPrefix(name, "APPONLY_CLIENT_CERT") {
				t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", writeFile(t, filepath.Join(t.TempDir(), "cert"), s.Certificate().PEM()))
			}
			c, err := apponly.FromEnv(s.options())
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrCredentialUnavailable, "…: no such file")
			canaries{password, path.Base(password)}.checkError(t, name, err)
			canaries{password}.walk(t, name, c.Status())
		}
	}
}
