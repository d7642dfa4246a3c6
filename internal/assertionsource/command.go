// SPDX-License-Identifier: MIT

package assertionsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/ident"
)

// Command is a program that prints an assertion.
type Command struct {
	Name string
	args string // each ended by a NUL, which none can hold
}

// NewCommand returns the command with its arguments.
func NewCommand(name string, args []string) Command {
	var b strings.Builder
	for _, a := range args {
		b.WriteString(a + "\x00")
	}
	return Command{name, b.String()}
}

// String names the command. Its arguments may be anything.
func (c Command) String() string {
	return "the command " + ident.OneLine(filepath.Base(c.Name), 60)
}

// Once implements Source.
func (Command) Once() bool { return false }

// Variables implements Source.
func (Command) Variables() []string { return nil }

// Check implements Source.
func (c Command) Check() []error {
	if c.Name == "" || strings.ContainsRune(c.Name, 0) {
		return []error{errors.New("no command is named, which prints the assertion")}
	}
	return nil
}

const (
	commandTimeout = 20 * time.Second
	maxOutput      = 1 << 20
	maxComplaint   = 4 << 10 // of what it says on its standard error, the last
)

// Ask implements Source: it runs the command, without a shell.
func (c Command) Ask(ctx context.Context, _ *http.Client, _ string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTimeout, flight.TimeoutError("did not end within 20 seconds"))
	defer cancel()
	var args []string
	for arg := range strings.SplitAfterSeq(c.args, "\x00") {
		if arg, ok := strings.CutSuffix(arg, "\x00"); ok {
			args = append(args, arg)
		}
	}
	cmd := exec.CommandContext(ctx, c.Name, args...)
	// A child that goes on with the output in its hands must not hold the flight.
	cmd.WaitDelay = time.Second
	var out output
	var complaint tail
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case out.full:
		return "", fmt.Errorf("%s printed more than 1 MiB", c)
	case ctx.Err() != nil:
		return "", unreachable(c.String(), context.Cause(ctx))
	case err == nil && len(out.b) == 0:
		err = errors.New("printed nothing")
	}
	if err == nil {
		return string(out.b), nil
	}
	if notFound, ok := errors.AsType[*exec.Error](err); ok {
		return "", fmt.Errorf("%s: %w", c, notFound.Err)
	}
	text := fmt.Sprintf("%s: %v", c, err)
	if last := complaint.lastLine(); last != "" {
		text += ": " + last
	}
	return "", errors.New(text)
}

// output takes what a command prints, up to a limit.
type output struct {
	b    []byte
	full bool
}

func (o *output) Write(p []byte) (int, error) {
	if len(o.b)+len(p) > maxOutput {
		o.full = true
		return 0, errors.New("too much") // ends the copying, and so the command
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*maxComplaint {
		t.b = append(t.b[:0], t.b[len(t.b)-maxComplaint:]...)
	}
	return len(p), nil
}

// lastLine returns the last line that says anything and no token.
func (t *tail) lastLine() string {
	b := bytes.TrimSpace(t.b)
	line := string(b[bytes.LastIndexByte(b, '\n')+1:])
	if mayHoldSecret(line, "") {
		return ""
	}
	return ident.OneLine(line, 200)
}
