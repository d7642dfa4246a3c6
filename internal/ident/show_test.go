// SPDX-License-Identifier: MIT

package ident_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apponly/apponly/internal/ident"
)

const (
	pemKey = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
	jwt    = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2V4YW1wbGUudGVzdCJ9.c2lnbmF0dXJl"
)

func TestMisplaced(t *testing.T) {
	for text, want := range map[string]string{
		pemKey: "a PEM block", strings.ReplaceAll(pemKey, "\n", `\n`): "a PEM block", "  " + jwt: "a JWT",
		"abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345": "what looks like a secret",
		"Kq8~canary+secret/&=%<x>.0123456789":    "what looks like a secret",
		"3f+aB7kQ2/x9ZpL4mN8vR1tY6wE0sD5gH=":     "what looks like a secret",
		"one\ntwo":                               "text of several lines, or binary data",
		"nul\x00":                                "text of several lines, or binary data",
		"":                                       "", "token": "", "client-secret.txt": "", "MyClientSecret2024Production": "", "/var/run/secrets/azure/tokens/azure-identity-token": "",
		"11111111-2222-3333-4444-55555555ABCD": "", "backup-of-the-secret~": "", `C:\PROGRA~1\app\secret.txt`: "", "..2026_11_27_09_26_25.3141592653/token": "",
	} {
		if got := ident.Misplaced(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	// Generated secrets of 40 letters and digits, and such with the signs of base64.
	missed := 0
	random := rand.New(rand.NewPCG(1, 2))
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for range 10_000 {
		b := make([]byte, 40)
		for i := range b {
			b[i] = chars[random.IntN(len(chars))]
		}
		if ident.Misplaced(string(b)) == "" {
			missed++
		}
	}
	if missed > 50 {
		t.Errorf("%d of 10,000 random secrets pass for something else", missed)
	}
}

func TestNoPath(t *testing.T) {
	for text, want := range map[string]bool{
		pemKey: false, jwt: false, "abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345": false, `"/etc/secret"`: false, "<no value>": false, "$(SECRET_FILE)": false, "$HOME/secret": false, "~/secret": false, "file:///etc/secret": false, "@Microsoft.KeyVault(x": false, strings.Repeat("x", 5000): false,
		`/run/it's $(a) "dir"/env`: true, "/etc/app/secret": true, "secret": true, "": true, `C:\app\secret`: true, "../x y/secret.pem": true, "/run/aB3dE5fG7hI9jK1lM3nO5/secret": true, "./aB3dE5fG7hI9jK1lM3nO5": true, "./$(x)": true, "..data/token": true, "~backup": true,
	} {
		if got := ident.NoPath(text); (got == "") != want {
			t.Errorf("%.40q: %q, a path: %t", text, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"$(TENANT_ID)": `"$(TENANT_ID)"`, "<no value>": `"<no value>"`, "${AZURE_TENANT_ID}": `"${AZURE_TENANT_ID}"`, "$TENANT_ID": `"$TENANT_ID"`,
		"{{ .Values.azure.tenantId | quote }}": `"{{ .Values.azure.tenantId | quote }}"`, "%TENANT_ID%": `"%TENANT_ID%"`, "#{TenantId}#": `"#{TenantId}#"`,
		"__TENANT_ID__": `"__TENANT_ID__"`, "<your-tenant-id-from-the-portal-of-azure>": `"<your-tenant-id-from-the-portal-of-az…"`,
		`"11111111-2222-3333-4444-555555555555"`: `"\"11111111-2222-3333-4444-555555555555\""`,
		`'contoso'`:                              `"'contoso'"`,
		"undefined":                              `"undefined"`,
		"https://login.microsoftonline.com/11111111":                                    `"https://login.microsoftonline.com/111…"`,
		"@Microsoft.KeyVault(SecretUri=https://myvault.vault.azure.net/secrets/tenant)": `"@Microsoft.KeyVault(SecretUri=https:/…"`,
		"11111111-2222-3333-4444-55555555555":                                           `"11111111-2222-3333-4444-55555555555"`,
		"<a\nb>":                                                                        "of 5 bytes",
		// Secrets, also in a placeholder's place.
		"abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345": "of 38 bytes", "${abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345}": "of 41 bytes", jwt: "of 88 bytes",
		"correct horse battery staple": "of 28 bytes", "P@ssw0rd!": "of 9 bytes", "%Summer(2024)": "of 13 bytes", "https://user:pass@host": "of 22 bytes", `"correct horse battery"`: "of 23 bytes",
	} {
		if got := ident.Quote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := ident.QuoteWord("AzureCLICredential"); got != `"AzureCLICredential"` {
		t.Errorf("QuoteWord: %s", got)
	}
	if got := ident.QuoteWord("abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"); got != "of 38 bytes" {
		t.Errorf("QuoteWord: %s", got)
	}
}
