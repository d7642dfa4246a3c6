// SPDX-License-Identifier: MIT

package apponly_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/inside"
)

var updateEnv = flag.Bool("update-env", false, "write testdata/env.golden anew")

// TestEnvironments holds what FromEnv and ExplainEnv say of each environment in
// testdata/env.golden, to the letter: an explanation that changes is to be read.
// A paragraph is a name after "#", variables, "--" and what is said.
func TestEnvironments(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	writeFile(t, filepath.Join(dir, "file"), []byte("x"))
	golden := filepath.Join(sourceDir, "testdata", "env.golden")
	old, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	paragraphs := strings.Split(strings.TrimSpace(string(old)), "\n\n")
	if len(paragraphs) < 60 {
		t.Errorf("%d environments, want 60", len(paragraphs))
	}
	for _, paragraph := range paragraphs {
		head, want, _ := strings.Cut(paragraph, "\n--\n")
		head = strings.TrimSuffix(head, "\n--")
		name, rest, _ := strings.Cut(head, "\n")
		var vars []string
		for line := range strings.Lines(rest) {
			vars = append(vars, unescape.Replace(strings.TrimSuffix(line, "\n")))
		}
		t.Run(strings.TrimPrefix(name, "# "), func(t *testing.T) {
			setEnv(t, vars...)
			explained := apponly.ExplainEnv(nil)
			got := explained.String()
			if _, err := apponly.FromEnv(nil); (err == nil) != (explained.Err == nil || strings.Contains(explained.Err.Error(), "the file it names")) {
				t.Errorf("FromEnv: %v, but explained: %v", err, explained.Err)
			}
			_, err := apponly.FromEnv(nil)
			if told := faultsTold(); fmt.Sprint(err) != fmt.Sprint(told) {
				t.Errorf("FromEnv: %v, but the command is told %v", err, told)
			}
			for _, kv := range vars {
				if _, value, _ := strings.Cut(kv, "="); strings.Contains(value, "canary") && strings.Contains(got, value) {
					t.Errorf("explanation = %s, holds the value of %s", got, kv)
				}
			}
			fmt.Fprintf(&written, "%s\n--\n%s\n\n", head, got)
			if got != want && !*updateEnv {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
	if *updateEnv {
		writeFile(t, golden, []byte(strings.TrimSpace(written.String())+"\n"))
	}
}

// faultsTold is what the command is told to be wrong.
func faultsTold() error {
	var errs []error
	for _, f := range inside.Look().Faults {
		errs = append(errs, f.Err)
	}
	return errors.Join(errs...)
}

// unescape makes of a line what a variable holds.
var unescape = strings.NewReplacer(`\n`, "\n", `\ufeff`, "\ufeff", `\u200b`, "\u200b")

// sourceDir is where this file is.
var sourceDir, _ = os.Getwd()
