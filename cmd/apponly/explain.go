// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func newExplain(out *choice) *cobra.Command {
	return &cobra.Command{
		Use:   "explain CODE|TEXT|-",
		Short: "Say what an error of Entra's means and what to do",
		Long: `Say what an error means and what to do about it: a number, with or without
AADSTS before it, a kind such as secret_expired, or text that such errors are in,
as a log has it or as Entra answered. A single - reads the text from stdin.

Nothing is asked over a network. The exit status is 1 if nothing is known of what
was given.`,
		Example: `  apponly explain AADSTS7000215
  apponly explain 'token request failed: AADSTS700016: Application with identifier …'
  kubectl logs deploy/worker | apponly explain -`,
		Args: atLeastOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.Join(args, " ")
			if text == "-" {
				b, err := readStdin(cmd)
				if err != nil {
					return err
				}
				text = string(b)
			}
			found := apponly.LookupText(text)
			if len(found) == 0 { // several numbers
				for _, arg := range args {
					found = append(found, apponly.LookupText(arg)...)
				}
			}
			return explain(cmd.OutOrStdout(), out.value, found)
		},
	}
}

// maxStdin is more than any log that somebody reads.
const maxStdin = 16 << 20

// readStdin reads what was piped in, or is typed.
func readStdin(cmd *cobra.Command) ([]byte, error) {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		cmd.PrintErrln("apponly: paste it, and end with a line break and Ctrl-D")
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxStdin+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("stdin: %w", err)
	case len(b) > maxStdin:
		return nil, fmt.Errorf("stdin is larger than %d MiB", maxStdin>>20)
	}
	return b, nil
}

// An explanation is what is known of one error.
type explanation struct {
	Code    int          `json:"code"`   // 0 for none
	Symbol  string       `json:"symbol"` // Microsoft's name for the number
	Known   bool         `json:"known"`
	Kind    apponly.Kind `json:"kind"`
	Group   apponly.Kind `json:"group"`
	Meaning string       `json:"meaning"`
	Remedy  string       `json:"remedy"`
	AppOnly string       `json:"app_only"` // whether an app without a user can meet it
}

func explanationOf(a apponly.AADSTS) explanation {
	e := explanation{Code: a.Code, Symbol: a.Symbol, Kind: a.Kind, Remedy: a.Remedy, AppOnly: a.AppOnly}
	if a.Kind == "" {
		return e
	}
	e.Known, e.Group = true, a.Kind.Group()
	e.Meaning = strings.TrimPrefix(a.Kind.Error(), "apponly: ")
	if a.AppOnly == "no" {
		e.Meaning, e.Remedy = "of a user's sign-in: an app without a user does not meet it", "If a daemon got it, it does not use the client credentials grant."
	}
	return e
}

var (
	errNoError = errors.New("no error of Entra's is in it: want a number of five digits or more, AADSTS and such a number, a kind, or text with one")
	errUnknown = errors.New("not in this version's table of errors")
)

// explain prints what was found. It fails if none of it is known.
func explain(w io.Writer, out string, found []apponly.AADSTS) error {
	explanations := []explanation{}
	known := false
	for _, a := range found {
		e := explanationOf(a)
		known = known || e.Known
		explanations = append(explanations, e)
	}
	var err error
	if out == "json" {
		err = printJSON(w, map[string]any{"errors": explanations})
	} else {
		err = printExplanations(w, screen.Of(w), explanations)
	}
	switch {
	case err != nil || known:
		return err
	case len(found) == 0:
		return errNoError
	}
	return errFault // it has been said
}

func printExplanations(w io.Writer, s screen.Screen, all []explanation) error {
	var b strings.Builder
	row := func(name, colour, text string) {
		if text != "" {
			b.WriteString(s.Row(text, screen.Head{Text: name, Colour: colour, Width: 9}))
		}
	}
	for i, e := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		if e.Code != 0 {
			row("error", screen.Bold, strings.TrimSpace(fmt.Sprintf("AADSTS%d %s", e.Code, e.Symbol)))
		}
		if !e.Known {
			row("meaning", screen.Bold, errUnknown.Error())
			row("remedy", screen.Bold, "Look it up at https://login.microsoftonline.com/error?code="+fmt.Sprint(e.Code)+", and go by the description that came with it.")
			continue
		}
		kind := string(e.Kind)
		if e.Group != e.Kind {
			kind += " (" + string(e.Group) + ")"
		}
		row("kind", screen.Bold, kind)
		row("meaning", screen.Bold, e.Meaning)
		row("remedy", screen.Bold, e.Remedy)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
