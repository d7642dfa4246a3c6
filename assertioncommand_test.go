// SPDX-License-Identifier: MIT

package apponly_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// TestCommandThatPrints is no test: it is the command that the tests below run.
func TestCommandThatPrints(t *testing.T) {
	switch what := os.Getenv("APPONLY_TEST_COMMAND"); what {
	case "":
		t.Skip("this is the command of other tests")
	case "arguments":
		fmt.Print(strings.Join(os.Args[2:], "|"))
	case "nothing":
	case "too much":
		for range 3 << 10 {
			fmt.Println(strings.Repeat("x", 1<<10))
		}
	case "fail":
		fmt.Fprintln(os.Stderr, "first line")
		fmt.Fprintln(os.Stderr, "the job is over")
		os.Exit(3)
	case "fail with a token":
		fmt.Fprintln(os.Stderr, "no good: eyJhbGciOiJub25lIn0.e30.")
		os.Exit(3)
	case "hang":
		time.Sleep(20 * time.Second)
	case "leave a child":
		child := exec.Command(os.Args[0], "-test.run=^TestCommandThatPrints$")
		child.Env = append(os.Environ(), "APPONLY_TEST_COMMAND=hang")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Print(os.Getenv("APPONLY_TEST_TOKEN"))
	default:
		fmt.Print(what)
	}
	os.Exit(0)
}

func printer(args ...string) apponly.AssertionSource {
	return apponly.AssertionCommand(os.Args[0], append([]string{"-test.run=^TestCommandThatPrints$"}, args...)...)
}

func TestAssertionCommand(t *testing.T) {
	s := newSTS(t)
	t.Setenv("APPONLY_TEST_COMMAND", s.FederatedToken()+"\n")
	o := s.options()
	for range 2 { // equal commands are one credential
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Federated(printer("oidc", "")), o)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, s.API().Scope())
	}
	if n := s.TokenRequests(); n != 1 {
		t.Errorf("%d token requests of two clients with one command, want 1", n)
	}
	// What differs in where an argument ends is another command.
	for _, args := range [][]string{{"oid", "c", ""}, {"oidc"}, {"oidc", "", ""}} {
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Federated(printer(args...)), o)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, s.API().Scope())
	}
	if n := s.TokenRequests(); n != 4 {
		t.Errorf("%d token requests of four commands, want 4", n)
	}

	// A child that keeps the output open holds nobody.
	t.Setenv("APPONLY_TEST_COMMAND", "leave a child")
	t.Setenv("APPONLY_TEST_TOKEN", s.FederatedToken())
	began := time.Now()
	_, err := s.with(t, apponly.Federated(printer())).Token(t.Context(), s.API().Scope())
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a child of the command held the token for %v", took)
	}
	if err != nil {
		wantKind(t, err, apponly.ErrCredentialUnavailable, "the command", "WaitDelay")
	}
}

func TestAssertionCommandFaults(t *testing.T) {
	s := newSTS(t)
	path := filepath.Base(os.Args[0])
	for what, want := range map[string][]string{
		"arguments":         {"is not a JWT"},
		"nothing":           {"printed nothing"},
		"too much":          {"printed more than 1 MiB"},
		"fail":              {"exit status 3: the job is over"},
		"fail with a token": {"exit status 3"},
		"text":              {"is not a JWT"},
	} {
		t.Setenv("APPONLY_TEST_COMMAND", what)
		_, err := s.with(t, apponly.Federated(printer("$HOME", "a b", "*"))).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCredentialUnavailable, append(want, path)...)
		if text := fmt.Sprintf("%+v", err); strings.Contains(text, "eyJ") || strings.Contains(text, "first line") {
			t.Errorf("%s: the error holds a token, or more than the last line: %s", what, text)
		}
	}
	_, err := s.with(t, apponly.Federated(apponly.AssertionCommand("no-such-command-here"))).Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrCredentialUnavailable, "no-such-command-here", "executable file not found")
	if n := s.TokenRequests(); n != 0 {
		t.Errorf("%d token requests without an assertion", n)
	}
}
