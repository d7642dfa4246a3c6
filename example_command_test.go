// SPDX-License-Identifier: MIT

//go:build unix

package apponly_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// install puts a program on the PATH that prints text, for want of the real one.
func install(name, text string) (remove func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	script := "#!/bin/sh\ncat <<'END'\n" + text + "\nEND\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
		log.Fatal(err)
	}
	restore := setenv(map[string]string{"PATH": dir + string(os.PathListSeparator) + os.Getenv("PATH")})
	return func() {
		restore()
		os.RemoveAll(dir)
	}
}

// A job of CircleCI, whose command makes an ID token with the audience that Entra wants.
func ExampleAssertionCommand() {
	sts := entratest.NewServer()
	defer sts.Close()
	defer install("circleci", sts.FederatedToken())()
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)

	src := apponly.AssertionCommand("circleci", "run", "oidc", "get", "--claims", `{"aud":"api://AzureADTokenExchange"}`)
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}

// A job of Buildkite, whose agent asks for the ID token.
func ExampleAssertionCommand_buildkite() {
	sts := entratest.NewServer()
	defer sts.Close()
	defer install("buildkite-agent", sts.FederatedToken())()
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)

	src := apponly.AssertionCommand("buildkite-agent", "oidc", "request-token",
		"--audience", "api://AzureADTokenExchange", "--subject-claim", "pipeline_id")
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}
