// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// onTerminal runs a command line of the program on a terminal.
func (c *clinic) onTerminal(columns int, args string, env ...string) string {
	c.Helper()
	script, err := exec.LookPath("script")
	if err != nil {
		c.Skip("no script(1), which brings a terminal")
	}
	line := fmt.Sprintf("stty cols %d; exec %s %s", columns, quote(os.Args[0]), args)
	cmd := exec.CommandContext(c.Context(), script, "-qec", line, "/dev/null")
	cmd.Env = append([]string{asCommand + "=1", "GORACE=atexit_sleep_ms=10", "HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}, env...)
	for name, value := range c.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, _ := cmd.Output() // its status is that of the command
	for _, secret := range c.canary {
		if strings.Contains(string(out), secret) {
			c.Errorf("%.12s… is printed:\n%s", secret, out)
		}
	}
	return string(out)
}

func TestDoctorTerminal(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	for name, tt := range map[string]struct {
		env     []string
		colours bool
	}{
		"colours":  {[]string{"TERM=xterm"}, true},
		"NO_COLOR": {[]string{"TERM=xterm", "NO_COLOR=1"}, false},
		"dumb":     {[]string{"TERM=dumb"}, false},
	} {
		out := c.onTerminal(100, "doctor --scope "+quote(c.scope), tt.env...)
		if got := strings.Contains(out, "\x1b["); got != tt.colours {
			t.Errorf("%s: colours: %t, want %t\n%q", name, got, tt.colours, out)
		}
		if !strings.Contains(out, "permissions") {
			t.Errorf("%s: no report: %q", name, out)
		}
		for line := range strings.Lines(out) {
			if plain := strings.NewReplacer("\x1b[32m", "", "\x1b[0m", "", "\r", "").Replace(line); len(plain) > 101 {
				t.Errorf("%s: a line of %d: %q", name, len(plain), line)
			}
		}
	}
}

// TestDoctorProgress waits for a proxy that hangs.
func TestDoctorProgress(t *testing.T) {
	t.Parallel()
	c := bases["proxy"](t)
	take := func(conn net.Conn) { hang(conn) }
	c.proxy.take.Store(&take)
	const line = "\rchecking proxy …\x1b[K\r\x1b[K"
	if out := c.onTerminal(100, "doctor --scope "+quote(c.scope), "TERM=xterm"); strings.Count(out, "checking") != 1 || !strings.Contains(out, line) {
		t.Errorf("%q, want %q once", out, line)
	}
}
