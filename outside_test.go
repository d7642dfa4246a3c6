// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/apponly/apponly"
)

// strays are what files, variables and web pages add to a text, with the word that
// names it.
var strays = map[string]struct {
	add  func(string) string
	word string
}{
	"zero-width space":         {func(s string) string { return s + "\u200b" }, "cannot be seen"},
	"zero-width space inside":  {func(s string) string { return s[:5] + "\u200b" + s[5:] }, "cannot be seen"},
	"zero-width joiner":        {func(s string) string { return "\u200d" + s }, "cannot be seen"},
	"word joiner":              {func(s string) string { return s + "\u2060" }, "cannot be seen"},
	"soft hyphen":              {func(s string) string { return s[:5] + "\u00ad" + s[5:] }, "cannot be seen"},
	"left-to-right mark":       {func(s string) string { return "\u200e" + s }, "cannot be seen"},
	"byte order mark at end":   {func(s string) string { return s + "\ufeff" }, "cannot be seen"},
	"no-break space inside":    {func(s string) string { return s[:5] + "\u00a0" + s[5:] }, "no-break space"},
	"narrow no-break space":    {func(s string) string { return s[:5] + "\u202f" + s[5:] }, "no-break space"},
	"ideographic space inside": {func(s string) string { return s[:5] + "\u3000" + s[5:] }, "no-break space"},
	"double quotes":            {func(s string) string { return `"` + s + `"` }, "in quotes"},
	"single quotes":            {func(s string) string { return "'" + s + "'" }, "in quotes"},
	"typographic quotes":       {func(s string) string { return "“" + s + "”" }, "in quotes"},
	"KEY=value":                {func(s string) string { return "AZURE_CLIENT_SECRET=" + s }, "NAME=value"},
	"export KEY=value":         {func(s string) string { return "export CLIENT_SECRET=" + s }, "NAME=value"},
	"UTF-16":                   {func(s string) string { return "\xff\xfe" + strings.Join(strings.Split(s, ""), "\x00") + "\x00" }, "UTF-16"},
	"UTF-16, big-endian":       {func(s string) string { return "\xfe\xff\x00" + strings.Join(strings.Split(s, ""), "\x00") }, "UTF-16"},
}

// blanks are only dropped around an assertion.
var blanks = map[string]func(string) string{
	"blank before":     func(s string) string { return " " + s },
	"blank after":      func(s string) string { return s + " " },
	"tab after":        func(s string) string { return s + "\t" },
	"blanks and break": func(s string) string { return "  " + s + "  \n" },
}

// What does not belong to a secret or an assertion is refused here, with a text that
// names it and not the value, and Entra is not asked.
func TestStrayText(t *testing.T) {
	s := newSTS(t)
	dir := t.TempDir()
	n := 0
	file := func(text string) string {
		n++
		return writeFile(t, filepath.Join(dir, fmt.Sprint(n)), []byte(text))
	}
	check := func(name, value string, cred apponly.Credential, word string) {
		t.Helper()
		client, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, s.options())
		if err == nil {
			_, err = client.Token(t.Context(), s.API().Scope())
		}
		if !errors.Is(err, apponly.ErrCredential) || !strings.Contains(err.Error(), word) || s.requests() != 0 {
			t.Errorf("%s: %d requests, error = %v, want %q", name, s.requests(), err, word)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%+v", err), value[6:]) {
			t.Errorf("%s: the value is in %+v", name, err)
		}
	}
	all := map[string]string{}
	for name, stray := range strays {
		all[name] = stray.word
	}
	for name := range blanks {
		all[name] = "has blanks"
	}
	for name, word := range all {
		add := strays[name].add
		if add == nil {
			add = blanks[name]
		}
		text := add(s.Secret())
		check("Secret, "+name, s.Secret(), apponly.Secret(text), word)
		check("SecretFile, "+name, s.Secret(), apponly.SecretFile(file(text+"\n")), word)
		check("SecretFunc, "+name, s.Secret(), apponly.SecretFunc(func(context.Context) (string, error) { return text, nil }), word)
		if blanks[name] == nil {
			assertion := s.FederatedToken()
			check("AssertionFile, "+name, assertion, apponly.Federated(apponly.AssertionFile(file(add(assertion)+"\n"))), word)
		}
	}
}

// What a token service answers, or a header has, is not the assertion in it.
func TestAssertionInSomethingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "token")
		jwt := s.FederatedToken()
		for text, want := range map[string]string{
			`{"value":"` + jwt + `"}`:                      "is JSON, not the JWT inside it",
			`{"count":1,"value":"` + jwt + `"}`:            "is JSON, not the JWT inside it",
			"\ufeff {\n  \"access_token\": \"" + jwt:       "is JSON, not the JWT inside it",
			`["` + jwt + `"]`:                              "is JSON, not the JWT inside it",
			`"` + jwt + `"`:                                "is in quotes",
			`'` + jwt + "'\n":                              "is in quotes",
			"Bearer " + jwt:                                `begins with "Bearer"`,
			"ID_TOKEN=" + jwt:                              "NAME=value",
			"token: " + jwt:                                "is not a JWT",
			jwt + jwt:                                      "is not a JWT",
			strings.Replace(jwt, ".", "+.", 1):             "header is not base64url",
			jwt + "%":                                      "signature is not base64url",
			base64.StdEncoding.EncodeToString([]byte(jwt)): "is not a JWT",
		} {
			writeFile(t, path, []byte(text))
			_, err := s.with(t, apponly.Federated(apponly.AssertionFile(path))).Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrCredentialUnavailable, path, want)
			if err != nil && strings.Contains(err.Error(), jwt[10:30]) {
				t.Errorf("a piece of the assertion: %v", err)
			}
		}
		if n := s.requests(); n != 0 {
			t.Errorf("%d requests", n)
		}
		for _, around := range []string{"\ufeff%s\r\n", "\ufeff  %s  ", "\u00a0%s\u00a0", "%s"} {
			writeFile(t, path, fmt.Appendf(nil, around, jwt))
			mustToken(t, s.with(t, apponly.Federated(apponly.AssertionFile(path))), s.API().Scope())
		}
	})
}

// A byte order mark, which Windows writes, is dropped wherever a text comes from.
func TestByteOrderMark(t *testing.T) {
	s := newSTS(t)
	cert := s.Certificate()
	s.App().AddCertificate(corpusCert(t, "cert.pem"))
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		return writeFile(t, filepath.Join(dir, name), append([]byte("\ufeff"), text...))
	}
	for name, cred := range map[string]apponly.Credential{
		"secret":      apponly.Secret("\ufeff" + s.Secret()),
		"secret file": apponly.SecretFile(file("secret", []byte(s.Secret()+"\r\n"))),
		"secret func": apponly.SecretFunc(func(context.Context) (string, error) { return "\ufeff" + s.Secret(), nil }),
		"certificate": apponly.CertificateFile(file("pem", cert.PEM()), nil),
		"two files":   apponly.CertificateFile(file("crt", cert.CertPEM()), &apponly.CertificateFileOptions{KeyFile: file("key", cert.KeyPEM())}),
		"password file": apponly.CertificateFile(corpus("cert.pem"), &apponly.CertificateFileOptions{
			KeyFile: corpus("pbes2-aes256-sha256.pem"), PasswordFile: file("password", []byte("corpus-password\r\n")),
		}),
		"assertion": apponly.Federated(apponly.AssertionFile(file("assertion", []byte(s.FederatedToken())))),
	} {
		if _, err := s.with(t, cred).Token(t.Context(), s.API().Scope()); err != nil {
			t.Errorf("%s: %+v", name, err)
		}
	}
	t.Run("environment", func(t *testing.T) {
		t.Setenv("AZURE_TENANT_ID", "\ufeff"+s.Tenant().ID())
		t.Setenv("AZURE_CLIENT_ID", s.App().ClientID())
		t.Setenv("AZURE_CLIENT_SECRET", "\ufeff"+s.Secret())
		c, err := apponly.FromEnv(s.options())
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, s.API().Scope())
	})
	t.Run("roots", func(t *testing.T) {
		authority, _ := s.StartTLS()
		for name, content := range map[string][]byte{
			"one root":                append([]byte("\ufeff"), s.CAPEM()...),
			"the first of two":        append(append([]byte("\ufeff"), s.CAPEM()...), certPEM(corpusCert(t, "intermediate.pem"))...),
			"the second of two files": append(append([]byte("\ufeff"), certPEM(corpusCert(t, "intermediate.pem"))...), append([]byte("\ufeff"), s.CAPEM()...)...),
		} {
			t.Run(name, func(t *testing.T) {
				t.Setenv("AZURE_TENANT_ID", s.Tenant().ID())
				t.Setenv("AZURE_CLIENT_ID", s.App().ClientID())
				t.Setenv("AZURE_CLIENT_SECRET", s.Secret())
				t.Setenv("AZURE_AUTHORITY_HOST", authority)
				t.Setenv("APPONLY_TRUST_AUTHORITY_HOST", "1")
				t.Setenv("APPONLY_CA_FILE", writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), content))
				c, err := apponly.FromEnv(&apponly.Options{Cache: apponly.NewCache(nil)})
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, c, s.API().Scope())
			})
		}
	})
}

// A password may have anything in it, and if it opens nothing what is odd about it
// is named.
func TestOddPasswordFile(t *testing.T) {
	s := newSTS(t)
	s.App().AddCertificate(corpusCert(t, "cert.pem"))
	dir := t.TempDir()
	path := filepath.Join(dir, "password")
	for text, want := range map[string]string{
		`"corpus-password"`:          "wrong password; the password in " + path + " is in quotes",
		" corpus-password\n":         "has blanks or line breaks at its start or end",
		"corpus\u00adpassword":       "cannot be seen",
		"KEY_PASSWORD=corpus-passwd": "is a NAME=value",
		"corpus-password\n\n":        "has blanks or line breaks at its start or end",
		"just-wrong":                 "wrong password",
	} {
		writeFile(t, path, []byte(text))
		_, err := s.with(t, apponly.CertificateFile(corpus("cert.pem"), &apponly.CertificateFileOptions{KeyFile: corpus("pbes2-aes256-sha256.pem"), PasswordFile: path})).
			Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCredentialUnavailable, want)
		if err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("the password is in %v", err)
		}
		// The same by value, of which line breaks are no part.
		_, err = s.with(t, apponly.CertificateFile(corpus("cert.pem"), &apponly.CertificateFileOptions{KeyFile: corpus("pbes2-aes256-sha256.pem"), Password: text})).
			Token(t.Context(), s.API().Scope())
		_, of, _ := strings.Cut(want, path)
		wantKind(t, err, apponly.ErrCredentialUnavailable, "wrong password", of)
	}
}

// An identifier or a path that something has been added to is refused with the name
// of that, since what shows of it looks as it should.
func TestStrayIdentifiers(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	for name, test := range map[string]struct {
		add  func(string) string
		word string
	}{
		"zero-width": {func(s string) string { return "\u200b" + s }, "cannot be seen"},
		"inside":     {func(s string) string { return s[:9] + "\u00ad" + s[9:] }, "cannot be seen"},
		"a blank":    {func(s string) string { return s[:9] + "\u00a0" + s[9:] }, "no-break space"},
		"quotes":     {func(s string) string { return "'" + s + "'" }, "in quotes"},
		"NAME=value": {func(s string) string { return "AZURE_CLIENT_ID=" + s }, "NAME=value"},
	} {
		for place, try := range map[string]func() error{
			"tenant": func() error { _, err := apponly.New(test.add(id), id, apponly.Secret("secret"), nil); return err },
			"client": func() error { _, err := apponly.New(id, test.add(id), apponly.Secret("secret"), nil); return err },
			"allowed": func() error {
				_, err := apponly.New(id, id, apponly.Secret("secret"), &apponly.Options{AllowedTenants: []string{test.add(id)}})
				return err
			},
			"environment": func() error {
				setEnv(t, "AZURE_TENANT_ID="+id, "AZURE_CLIENT_ID="+test.add(id), "AZURE_CLIENT_SECRET=secret")
				_, err := apponly.FromEnv(nil)
				return err
			},
			"path": func() error {
				setEnv(t, "AZURE_TENANT_ID="+id, "AZURE_CLIENT_ID="+id, "APPONLY_CLIENT_SECRET_FILE="+test.add("/run/secrets/app"))
				_, err := apponly.FromEnv(nil)
				return err
			},
		} {
			if place == "path" && strings.HasPrefix(test.add("/run/secrets/app"), "/") {
				continue
			}
			if err := try(); err == nil || !strings.Contains(err.Error(), test.word) {
				t.Errorf("%s, %s: error = %v, want %q", place, name, err, test.word)
			}
		}
	}
}

// A secret that Entra refuses and that looks like something else is said to.
func TestSecretThatIsSomethingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		for value, want := range map[string]string{
			"8c1d6e5f-0c2a-4a53-9d0e-2f1b7a6c9e10": "is a GUID",
			"/var/run/secrets/client-secret":       "is a path",
			`C:\secrets\client.txt`:                "is a path",
			"./secret":                             "is a path",
			base64.StdEncoding.EncodeToString([]byte("abc8Q~some-secret-value")): "is the base64 of a text",
			base64.StdEncoding.EncodeToString([]byte("abc8Q~with-a-break\n")):    "is the base64 of a text",
			"https://vault.example/secrets/app":                                  "is a URL",
			"$(CLIENT_SECRET)":                                                   "is a placeholder",
			"${CLIENT_SECRET}":                                                   "is a placeholder",
			"<no value>":                                                         "is a placeholder",
			"@Microsoft.KeyVault(SecretUri=x)":                                   "is a placeholder",
			`{"value":"abc"}`:                                                    "is JSON",
			base64.RawStdEncoding.EncodeToString([]byte("abc8Q~some-secret-value!")): "is the base64 of a text",
			base64.RawStdEncoding.EncodeToString([]byte("abc8Q~some-secret-value")):  "is the base64 of a text",
			"abc*******************":                       "is masked",
			"••••••••":                                     "is masked",
			"abc8Q%7Esome-secret%2Evalue":                  "is percent-encoded",
			"SECRET=abc8Q~some-secret-value":               "is a name and a value",
			"client-secret=abc8Q~some-secret-value":        "is a name and a value",
			"clientSecret: abc8Q~some-secret-value":        "is a name and a value",
			"abc8Q~an-ordinary.secret_value-that-is-wrong": "",
			"kQ2vTm9sPzX1c0d3aWq5u7hJ8nB4fLyRgVtEoIiSx6A=": "",
			"100%-chosen:by=hand&wrong":                    "",
			"AAAAabcdABCD0123":                             "",
			`\"abc8Q~some-secret-value\"`:                  "is more than a secret",
			`"abc8Q~some-secret-value`:                     "is more than a secret",
			"AZURE_CLIENT_SECRET: abc8Q~some-secret-value": "is a name and a value",
			`abc8Q~some-secret-value\n`:                    "is more than a secret",
			"undefined":                                    "is shorter",
			"*******":                                      "is masked",
		} {
			_, err := s.with(t, apponly.Secret(value)).Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrSecretInvalid, want)
			if text := fmt.Sprintf("%+v", err); strings.Contains(text, value) || (want == "") == strings.Contains(text, "what was sent is") {
				t.Errorf("%s: %s", want, text)
			}
		}
	})
}
