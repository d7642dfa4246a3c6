// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// piped runs the command with something on its stdin.
func piped(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

const refusal = `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys for app 'x' are expired. Trace ID: a","error_codes":[7000222]}`

func TestExplain(t *testing.T) {
	for name, tt := range map[string]struct {
		stdin  string
		args   []string
		status int
		stderr string
	}{
		"number":         {"", []string{"7000215"}, 0, ""},
		"text":           {"", []string{"failed:", "AADSTS700016", "and", "AADSTS90002"}, 0, ""},
		"answer":         {refusal, []string{"-"}, 0, ""},
		"kind":           {"", []string{"throttled"}, 0, ""},
		"of-a-user":      {"", []string{"AADSTS50076"}, 0, ""},
		"unknown":        {"", []string{"AADSTS9999999"}, 1, ""},
		"unknown-beside": {"", []string{"AADSTS9999999 AADSTS700016"}, 0, ""},
		"nothing":        {"all is well\n", []string{"-"}, 1, "apponly: no error of Entra's is in it"},
		"empty":          {"", []string{"-"}, 1, "apponly: no error of Entra's is in it"},
		"small":          {"", []string{"215"}, 1, "apponly: no error of Entra's is in it"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := piped(t, tt.stdin, append([]string{"explain"}, tt.args...)...)
			if status != tt.status || !strings.HasPrefix(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("status %d, want %d; stderr %q, want %q", status, tt.status, stderr, tt.stderr)
			}
			if tt.stderr != "" {
				if stdout != "" {
					t.Errorf("stdout %q, want nothing", stdout)
				}
				return
			}
			compareGolden(t, filepath.Join("testdata", "explain", name+".txt"), stdout)
		})
	}
}

func TestExplainJSON(t *testing.T) {
	for text, want := range map[string][]explanation{
		"nothing":       {},
		"AADSTS9999999": {{Code: 9999999}},
		refusal: {{
			Code: 7000222, Symbol: "InvalidClientSecretExpiredKeysProvided", Known: true, Kind: apponly.ErrSecretExpired, Group: apponly.ErrCredential,
			Meaning: "client secret has expired", Remedy: apponly.ErrSecretExpired.Remedy(), AppOnly: "yes",
		}},
	} {
		_, stdout, _ := piped(t, text, "explain", "-o", "json", "-")
		var got struct{ Errors []explanation }
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || !slices.Equal(got.Errors, want) || !strings.Contains(stdout, `"errors":[`) {
			t.Errorf("%s: %v, got %s, want %+v", text, err, stdout, want)
		}
	}
}

func TestExplainUsage(t *testing.T) {
	for _, args := range [][]string{{"explain"}, {"explain", "--code", "1"}, {"explain", "1", "--output", "xml"}} {
		if status, stdout, stderr := outcome(t, args...); status != exitUsage || stdout != "" || !strings.Contains(stderr, "apponly explain --help") {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
	}
	if status, _, stderr := piped(t, strings.Repeat("x", maxStdin+1), "explain", "-"); status != exitFailed || !strings.Contains(stderr, "larger than 16 MiB") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}
