// SPDX-License-Identifier: MIT

package keyfile_test

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/apponly/apponly/internal/keyfile"
)

// skipUnderFIPS skips what a process that enforces FIPS 140 cannot do.
func skipUnderFIPS(t *testing.T) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("encrypted files are not read with GODEBUG=fips140=only: TestEnforcedFIPS has what is said of them")
	}
}

// Where FIPS 140 is enforced, it is named as the reason for which a file is not
// read, and plain keys are read.
func TestEnforcedFIPS(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEnforcedFIPS$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS: TestEnforcedFIPS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for _, name := range []string{
		"openssl3-chain.p12", "openssl3-no-mac.p12", "openssl11.p12", "openssl11-rc2-128.p12", "windows-tripledes.p12", "keytool-legacy.p12", "bouncycastle.p12", "nss-rc2.p12",
		"pbes2-aes256-scrypt.pem", "pbes2-aes128-sha1.pem", "pbes2-des3-sha256.pem", "pkcs12-des3.pem",
	} {
		if _, err := keyfile.Parse(read(t, name), corpusPassword); err == nil || !strings.Contains(err.Error(), "FIPS 140") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"pkcs1.pem", "pkcs8.pem", "shuffled.pem", "trusted.pem", "openssl3-no-encryption.p12"} {
		if _, err := keyfile.Parse(read(t, name), ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
