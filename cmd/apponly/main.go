// SPDX-License-Identifier: MIT

// Command apponly helps whoever writes or runs a daemon that gets app-only
// tokens for Microsoft Entra ID.
//
//	apponly emulator    an Entra to develop and test against
//	apponly token       a token, for curl, kubectl or to look into
//	apponly doctor      why there is no token
//	apponly prove       whether the next credential works
//	apponly explain     what an error means
//	apponly inspect     what a token says
//	apponly consent-url where an administrator approves the app
//	apponly agent       tokens for the programs next door, in any language
//	apponly version     what this is
//
// Results go to stdout, everything else to stderr. The exit status is 0, 1 if
// it failed, or 2 if it was used wrongly: a flag, an address or a configuration
// that cannot be right.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses, besides 0.
const (
	exitFailed = 1
	exitUsage  = 2
)

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) { // none, where the result says it
		fmt.Fprintf(stderr, "apponly: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if usage, ok := errors.AsType[*usageError](err); ok {
		if !usage.plain {
			fmt.Fprintf(stderr, "See '%s --help'.\n", cmd.CommandPath())
		}
		return exitUsage
	}
	return exitFailed
}

// A usageError is the fault of whoever typed the command or wrote the file that
// it names.
type usageError struct {
	err   error
	plain bool // no help with flags is wanted
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "apponly",
		Short:         "App-only access tokens for Microsoft Entra ID",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	group(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err: err} })
	out := choice{"text", []string{"text", "json"}}
	out.register(root, root.PersistentFlags(), "form of results: text or json")
	root.AddCommand(newEmulator(), newDoctor(&out), newExplain(&out), newToken(), newInspect(&out), newProve(&out), newConsentURL(&out), newAgent(), newVersion(&out), newMan())
	strict(root)
	return root
}

// strict makes the commands that cobra adds by itself hold to the exit statuses
// as the others do.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			group(cmd)
			for _, shell := range cmd.Commands() {
				shell.Args = exactArgs(0)
			}
		case "help":
			help := cmd.Run
			cmd.Run = nil
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return usagef("there is no command %q", strings.Join(args, " "))
				}
				help(cmd, args)
				return nil
			}
		}
	}
}

// group makes a command one that only holds others: without one of their names
// it is used wrongly. Cobra would print the help and succeed, which a script
// with a typo in it takes for success.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s needs a command", cmd.CommandPath())
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf(": did you mean %q?", near[0])
		}
		return usagef("%s has no command %q%s", cmd.CommandPath(), args[0], hint)
	}
}

// exactArgs is cobra.ExactArgs with an error that counts as wrong usage.
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(cmd, args); err != nil {
			return &usageError{err: err}
		}
		return nil
	}
}

// atLeastOneArg is cobra.MinimumNArgs(1) with an error that counts as wrong usage.
func atLeastOneArg(cmd *cobra.Command, args []string) error {
	if err := cobra.MinimumNArgs(1)(cmd, args); err != nil {
		return &usageError{err: err}
	}
	return nil
}

// A choice is the value of a flag that takes one of some words.
type choice struct {
	value string
	words []string
}

// register makes it the flag --output of a command.
func (c *choice) register(cmd *cobra.Command, flags *pflag.FlagSet, usage string) {
	flags.VarP(c, "output", "o", usage)
	err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(c.words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil { // the flag is there
		panic(err)
	}
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "form" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		last := len(c.words) - 1
		return errors.New("want " + strings.Join(c.words[:last], ", ") + " or " + c.words[last])
	}
	c.value = s
	return nil
}
