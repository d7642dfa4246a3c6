// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto/fips140"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/fipstest"
)

// Where FIPS 140 is enforced there are no random numbers in a synctest bubble, see
// package fipstest.
func TestMain(m *testing.M) {
	flag.Parse()
	if fips140.Enforced() {
		if flag.Lookup("test.run").Value.String() != onlyTest {
			fmt.Println("fips140=only: all tests but TestEnforcedFIPS are skipped, as there are no random numbers in a synctest bubble")
		}
		flag.Set("test.run", onlyTest)
	}
	os.Exit(fipstest.Main(m))
}

const onlyTest = "^TestEnforcedFIPS$"

// Where FIPS 140 is enforced, plain keys prove the app, and what is not allowed is
// named: the thumbprint by SHA-1, encrypted files.
func TestEnforcedFIPS(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+onlyTest, "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS: TestEnforcedFIPS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	s := newSTS(t)
	mustToken(t, s.client(t), s.API().Scope())
	mustToken(t, s.with(t, apponly.Certificate(chainOf(s), s.Certificate().Key, nil)), s.API().Scope())
	mustToken(t, s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) { return s.FederatedToken(), nil }))), s.API().Scope())
	s.App().RemoveCertificate(s.Certificate().Leaf)
	_, err := s.with(t, apponly.Certificate(chainOf(s), s.Certificate().Key, nil)).Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrCertificateInvalid, "FIPS 140")
	if e := asError(t, err); e.ThumbprintSHA256 == "" || !strings.Contains(fmt.Sprintf("%+v", err), e.ThumbprintSHA256) {
		t.Errorf("%+v", err)
	}
	for _, name := range []string{"openssl3-chain.p12", "pbes2-aes256-scrypt.pem"} {
		_, err := s.with(t, apponly.CertificateFile(corpus("cert.pem"), &apponly.CertificateFileOptions{KeyFile: corpus(name), Password: "corpus-password"})).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCredentialUnavailable, "FIPS 140")
	}
}
