// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/apponly/apponly/cmd/apponly/internal/manpage"
)

// TestNothingSecretInFlags: ps and the history of a shell have what is in arguments.
func TestNothingSecretInFlags(t *testing.T) {
	secret := regexp.MustCompile(`secret|password|token|key|assertion`)
	for _, cmd := range manpage.All(newRoot()) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if secret.MatchString(f.Name) && !strings.HasSuffix(f.Name, "-file") {
				t.Errorf("%s --%s takes something secret as an argument", cmd.CommandPath(), f.Name)
			}
		})
	}
}

// TestFullDisk has nobody take what is printed, which must not pass for success.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full")
	}
	defer full.Close()
	c := bases["secret"](t)
	for _, args := range [][]string{
		{"version"}, {"version", "-o", "json"}, {"explain", "700016"}, {"explain", "700016", "-o", "json"}, {"consent-url"}, {"inspect"},
		{"token", "--scope", c.scope}, {"doctor", "--offline"}, {"doctor", "--offline", "-o", "json"}, {"prove", "--next", "x", "-o", "json"},
	} {
		cmd := command(t.Context(), args...)
		for name, value := range c.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var stderr strings.Builder
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("eyJhIjoxfQ.eyJhIjoxfQ.x"), full, &stderr
		cmd.Run()
		if status := cmd.ProcessState.ExitCode(); status != exitFailed || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: status %d, stderr %q", args, status, stderr.String())
		}
	}
}

// TestManPages writes them, and has groff look at them where there is one.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if status, stdout, stderr := outcome(t, "man", dir); status != 0 || stdout+stderr != "" {
		t.Fatalf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	groff, _ := exec.LookPath("groff")
	for _, cmd := range manpage.All(newRoot()) {
		file := filepath.Join(dir, manpage.Name(cmd))
		page, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, want := range []string{".TH \"APPONLY", ".SH NAME\n", ".SH SYNOPSIS\n", ".SH EXIT STATUS\n"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s has no %q", file, want)
			}
		}
		if groff == "" {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), groff, "-man", "-ww", "-z", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v, %s", file, err, out)
		}
	}
	if status, _, _ := outcome(t, "man"); status != exitUsage {
		t.Errorf("without a directory: status %d", status)
	}
	if _, help, _ := outcome(t, "help"); strings.Contains(help, "  man ") {
		t.Errorf("man is among the commands:\n%s", help)
	}
}

// TestCompletion asks as a shell does.
func TestCompletion(t *testing.T) {
	for want, args := range map[string][]string{
		"consent-url\t":   {"con"},
		"exec-credential": {"token", "--output", ""},
		"json":            {"doctor", "-o", ""},
		"--next\t":        {"prove", "--n"},
	} {
		status, stdout, _ := outcome(t, append([]string{"__complete"}, args...)...)
		if status != 0 || !strings.Contains("\n"+stdout, "\n"+want) {
			t.Errorf("%q: status %d, %q, want %q", args, status, stdout, want)
		}
	}
}

// TestOnTerminals: colours only on a terminal, and never for who does not want any.
func TestOnTerminals(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	token := "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJhdWQiOiJ4IiwiZXhwIjoxOTMwMDAwMDAwLCJpYXQiOjE5Mjk5OTAwMDB9.c2ln"
	for command, want := range map[string]string{
		"explain 7000222 700016":                    "AADSTS7000222",
		"inspect <" + c.write("jwt", []byte(token)): "app-only",
	} {
		for name, tt := range map[string]struct {
			env     []string
			colours bool
		}{
			"colours":  {[]string{"TERM=xterm"}, true},
			"NO_COLOR": {[]string{"TERM=xterm", "NO_COLOR=1"}, false},
			"dumb":     {[]string{"TERM=dumb"}, false},
		} {
			out := c.onTerminal(40, command, tt.env...)
			if strings.Contains(out, "\x1b[") != tt.colours || !strings.Contains(out, want) {
				t.Errorf("%s, %s: colours: want %t; want %q in %q", command, name, tt.colours, want, out)
			}
		}
	}
}

// TestHelpIsWhole: every command says what it is for, with an example where it takes
// anything.
func TestHelpIsWhole(t *testing.T) {
	for _, cmd := range manpage.All(newRoot()) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short %q", cmd.CommandPath(), cmd.Short)
		}
		if isOurs(cmd) && !cmd.HasSubCommands() && cmd.LocalNonPersistentFlags().HasFlags() && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if line = strings.TrimSuffix(line, "\n"); isOurs(cmd) && len([]rune(line)) > 110 {
				t.Errorf("%s: a line of %d: %s", cmd.CommandPath(), len(line), line)
			}
		}
	}
}

func isOurs(cmd *cobra.Command) bool { return !strings.Contains(cmd.CommandPath(), " completion") }

// TestCommandsPage holds the documentation to the commands.
func TestCommandsPage(t *testing.T) {
	text := holdPage(t, "commands.md", 2)
	for _, cmd := range newRoot().Commands() {
		if name := cmd.Name(); name != "help" && !regexp.MustCompile("[`, ]"+name+"`").MatchString(text) {
			t.Errorf("commands.md does not say what %s is", name)
		}
	}
	for _, form := range tokenForms {
		if !strings.Contains(text, "\n| `"+form+"` |") {
			t.Errorf("commands.md does not say what token --output %s is", form)
		}
	}
}
