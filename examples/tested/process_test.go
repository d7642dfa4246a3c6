// SPDX-License-Identifier: MIT

package tested_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// The environment is what a pod has, and the emulator a server on loopback.
func TestFromEnv(t *testing.T) {
	sts := entratest.New(t)
	authority, _ := sts.StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(sts.CAPEM()))
	for name, value := range map[string]string{
		"AZURE_TENANT_ID": sts.Tenant().ID(), "AZURE_CLIENT_ID": sts.App().ClientID(), "AZURE_CLIENT_SECRET": sts.Secret(),
		"AZURE_AUTHORITY_HOST": authority, "APPONLY_TRUST_AUTHORITY_HOST": "1", "APPONLY_CA_FILE": ca,
	} {
		t.Setenv(name, value)
	}
	client, err := apponly.FromEnv(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Token(t.Context(), sts.API().Scope()); err != nil {
		t.Error(err)
	}
}

const asProgram = "TESTED_AS_PROGRAM"

// program is what the test starts: it knows of no emulator, only of its environment.
func program() (status int) {
	client, err := apponly.FromEnv(nil)
	if err == nil {
		_, err = client.Token(context.Background(), os.Getenv("SCOPE"))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// The program is a process of its own, in any language, and asks the real name.
func TestProgram(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	ca := filepath.Join(t.TempDir(), "ca.pem")

	sts := entratest.New(t) // in a Go test of a program that is a process of its own
	proxy, _ := sts.StartProxy()
	os.WriteFile(ca, sts.CAPEM(), 0o600)
	cmd.Env = append(os.Environ(), "HTTPS_PROXY="+proxy, "HTTP_PROXY="+proxy, "SSL_CERT_FILE="+ca)
	cmd.Env = append(cmd.Env, asProgram+"=1", "SCOPE="+sts.API().Scope(),
		"AZURE_TENANT_ID="+sts.Tenant().ID(), "AZURE_CLIENT_ID="+sts.App().ClientID(), "AZURE_CLIENT_SECRET="+sts.Secret())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if n := sts.TokenRequests(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}
