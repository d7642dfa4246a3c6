// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"software.sslmate.com/src/go-pkcs12"
)

// Blanks may belong to a password; the line break that a heredoc leaves does not.
func TestFromEnvCertificatePassword(t *testing.T) {
	s := newSTS(t)
	pfx, err := pkcs12.Modern.Encode(s.Certificate().Key, s.Certificate().Leaf, nil, " of the file ")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, filepath.Join(t.TempDir(), "app.p12"), pfx)
	setEnv(t, "AZURE_TENANT_ID="+s.Tenant().ID(), "AZURE_CLIENT_ID="+s.App().ClientID(), "AZURE_CLIENT_CERTIFICATE_PATH="+path)
	for password, text := range map[string]string{" of the file \n": "", "of the file": "wrong password", "": "AZURE_CLIENT_CERTIFICATE_PASSWORD"} {
		t.Setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", password)
		c, err := apponly.FromEnv(s.options())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Token(t.Context(), s.API().Scope()); text == "" && err != nil {
			t.Errorf("password %q: %v", password, err)
		}
		if text != "" {
			wantKind(t, err, apponly.ErrCredentialUnavailable, text)
		}
	}
}

// The roots are read again when the file changes: a proxy's or private CA is
// renewed while the process lives.
func TestCAFileRotation(t *testing.T) {
	s, other := entratest.New(t), entratest.New(t)
	env := envOf(t, s)
	ca := strings.TrimPrefix(env[4], "APPONLY_CA_FILE=")
	setEnv(t, append(env, "AZURE_CLIENT_SECRET="+s.Secret())...)
	ask := func() error {
		c, err := apponly.FromEnv(&apponly.Options{Cache: apponly.NewCache(nil)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), s.API().Scope())
		return err
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	err := ask()
	wantKind(t, err, apponly.ErrCAFile, "APPONLY_CA_FILE", ca)
	wantKind(t, err, apponly.ErrConfiguration)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, is not os.ErrNotExist", err)
	}
	writeFile(t, ca, []byte("nothing"))
	wantKind(t, ask(), apponly.ErrCAFile, "no certificate in PEM")
	writeFile(t, ca, other.CAPEM())
	wantKind(t, ask(), apponly.ErrUnreachable, "unknown authority")
	writeFile(t, ca, s.CAPEM())
	if err := ask(); err != nil {
		t.Errorf("with the right roots: %v", err)
	}
	// Half a file, or none for a moment, keeps the roots that worked.
	writeFile(t, ca, s.CAPEM()[:40])
	if err := ask(); err != nil {
		t.Errorf("with half a file: %v", err)
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Errorf("without the file: %v", err)
	}
	writeFile(t, ca, other.CAPEM())
	wantKind(t, ask(), apponly.ErrUnreachable, "unknown authority")
}

// The environment is read when FromEnv is called, files when a token is asked
// for.
func TestFromEnvReadsFilesLate(t *testing.T) {
	s := newSTS(t)
	path := filepath.Join(t.TempDir(), "later")
	setEnv(t, "AZURE_TENANT_ID="+s.Tenant().ID(), "AZURE_CLIENT_ID="+s.App().ClientID(), "APPONLY_CLIENT_SECRET_FILE="+path)
	c, err := apponly.FromEnv(s.options())
	if err != nil {
		t.Fatal(err)
	}
	setEnv(t)
	writeFile(t, path, []byte(s.Secret()))
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	mustToken(t, c, s.API().Scope())
}

// The kinds that come later in the order are ignored with one warning, unless the
// choice was made by name.
func TestFromEnvWarnsOfIgnoredCredentials(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "file"), []byte("x"))
	base := []string{"AZURE_TENANT_ID=" + someTenant, "AZURE_CLIENT_ID=" + someClient}
	for _, test := range []struct {
		env  []string
		want string // ignored; "": no warning
	}{
		{[]string{"AZURE_CLIENT_SECRET=x", "AZURE_FEDERATED_TOKEN_FILE=" + file}, "AZURE_FEDERATED_TOKEN_FILE"},
		{[]string{"AZURE_CLIENT_SECRET=x", "AZURE_CLIENT_CERTIFICATE_PATH=" + file, "AZURE_FEDERATED_TOKEN_FILE=" + file}, "AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE"},
		{[]string{"APPONLY_CLIENT_SECRET_FILE=" + file, "AZURE_CLIENT_CERTIFICATE_PATH=" + file}, "AZURE_CLIENT_CERTIFICATE_PATH"},
		{[]string{"AZURE_CLIENT_CERTIFICATE_PATH=" + file, "AZURE_FEDERATED_TOKEN_FILE=" + file, "AZURE_TOKEN_CREDENTIALS=prod"}, "AZURE_FEDERATED_TOKEN_FILE"},
		{[]string{"AZURE_CLIENT_SECRET=x", "AZURE_CLIENT_CERTIFICATE_PATH=" + file, "AZURE_FEDERATED_TOKEN_FILE=" + file, "AZURE_TOKEN_CREDENTIALS=EnvironmentCredential"}, "AZURE_CLIENT_CERTIFICATE_PATH"},
		{[]string{"AZURE_CLIENT_SECRET=x", "AZURE_FEDERATED_TOKEN_FILE=" + file, "APPONLY_CREDENTIAL=federated"}, ""},
		{[]string{"AZURE_CLIENT_SECRET=x"}, ""},
		{[]string{"AZURE_CLIENT_SECRET=x", "AZURE_CLIENT_CERTIFICATE_PASSWORD=x"}, ""},
	} {
		setEnv(t, append(base, test.env...)...)
		var log bytes.Buffer
		opts := &apponly.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}
		if _, err := apponly.FromEnv(opts); err != nil {
			t.Fatal(err)
		}
		apponly.ExplainEnv(opts) // says it itself
		warned := strings.Count(log.String(), `"level":"WARN"`)
		if (warned == 1) != (test.want != "") || warned > 1 || !strings.Contains(log.String(), quote(test.want)) && test.want != "" {
			t.Errorf("%q: log %s, want one warning of %q", test.env, &log, test.want)
		}
	}
}

// What Kubernetes mounts of a secret of the type kubernetes.io/tls: a directory, whose
// files are links into another that is swapped.
func TestFromEnvCertificateDirectory(t *testing.T) {
	s := newSTS(t)
	dir := t.TempDir()
	crt, key := s.Certificate().Leaf.Raw, encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(s.Certificate().Key))
	env := []string{"AZURE_TENANT_ID=" + s.Tenant().ID(), "AZURE_CLIENT_ID=" + s.App().ClientID(), "AZURE_CLIENT_CERTIFICATE_PATH=" + dir}
	ask := func(more ...string) error {
		t.Helper()
		setEnv(t, append(env, more...)...)
		if e := apponly.ExplainEnv(s.options()); e.Err != nil {
			t.Errorf("explained: %v", e.Err)
		}
		c, err := apponly.FromEnv(s.options())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), s.API().Scope())
		return err
	}
	wantKind(t, ask(), apponly.ErrCredentialUnavailable, dir+" is a directory, and has no tls.crt")
	data := filepath.Join(dir, "..2026")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(data, "tls.crt"), encode("CERTIFICATE", crt))
	writeFile(t, filepath.Join(data, "tls.key"), key)
	for from, to := range map[string]string{"..data": "..2026", "tls.crt": "..data/tls.crt", "tls.key": "..data/tls.key"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(); err != nil {
		t.Errorf("mounted: %v", err)
	}
	// The key elsewhere, and an encrypted one with its password in a file.
	other := t.TempDir()
	pfx, err := pkcs12.Modern.Encode(s.Certificate().Key, s.Certificate().Leaf, nil, "opens it")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(data, "tls.key")); err != nil {
		t.Fatal(err)
	}
	wantKind(t, ask(), apponly.ErrCredentialUnavailable, filepath.Join(dir, "tls.key"))
	if err := ask("APPONLY_CLIENT_CERTIFICATE_KEY_PATH=" + writeFile(t, filepath.Join(other, "key.pem"), key)); err != nil {
		t.Errorf("the key elsewhere: %v", err)
	}
	env[2] = "AZURE_CLIENT_CERTIFICATE_PATH=" + writeFile(t, filepath.Join(other, "app.p12"), pfx)
	if err := ask("APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE=" + writeFile(t, filepath.Join(other, "password"), []byte("opens it\n"))); err != nil {
		t.Errorf("a password file: %v", err)
	}
	env[2] = "AZURE_CLIENT_CERTIFICATE_PATH=" + writeFile(t, filepath.Join(other, "cert.pem"), encode("CERTIFICATE", crt))
	wantKind(t, ask(), apponly.ErrCredentialUnavailable, "no private key", "APPONLY_CLIENT_CERTIFICATE_KEY_PATH")
}

// Half of a template, and words in quotes, are shown; see internal/ident for the rest.
func TestFromEnvShowsWhatIsNoID(t *testing.T) {
	for value, want := range map[string]string{
		"$(TENANT_ID)": "$(TENANT_ID)", "<no value>": "<no value>", "{{ .Values.tenant }}": "{{ .Values.tenant }}", `"` + someTenant + `"`: someTenant, "'contoso'": "contoso",
	} {
		setEnv(t, "AZURE_TENANT_ID="+value, "AZURE_CLIENT_ID="+value, "AZURE_CLIENT_SECRET=x", "AZURE_ADDITIONALLY_ALLOWED_TENANTS="+value)
		_, err := apponly.FromEnv(nil)
		if err == nil || strings.Count(err.Error(), want) != 3 {
			t.Errorf("%s: %v", value, err)
		}
	}
}
