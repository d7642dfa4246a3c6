// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly/cmd/apponly/internal/peek"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func newInspect(out *choice) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect",
		Short: "Show what a token on stdin says",
		Long: `Read an access token from stdin and show its header and claims, whether it is
app-only and what says so, its roles, and for how long it is good. It may have
"Authorization: Bearer" before it.

Nothing is verified and nothing is asked over a network, and the signature is not
shown, so that what is printed is no token. An encrypted token (JWE) is named as
one: its claims are for its API alone.`,
		Example: `  apponly token --scope api://orders/.default | apponly inspect
  pbpaste | apponly inspect --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 { // without it: it may be a token, which ps and a shell's history have now
				return usagef("want nothing but a token on stdin")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := readStdin(cmd)
			if err != nil {
				return err
			}
			now, w := time.Now(), cmd.OutOrStdout()
			report, err := peek.Inspect(string(b), now)
			switch {
			case err != nil:
				return fmt.Errorf("that cannot be read as a token: %w", err)
			case out.value == "json":
				return printJSON(w, report)
			}
			_, err = io.WriteString(w, report.Text(screen.Of(w), now))
			return err
		},
	}
}
