// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly/cmd/apponly/internal/doctor"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func newDoctor(out *choice) *cobra.Command {
	var opts doctor.Options
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why there is no token",
		Long: `Check what the environment describes, from the variables to what a token says,
and stop at the first thing that is wrong. The rest is skipped, because it would
be wrong for that reason.

  environment   variables: which credential and why, contradictions, quotes
  identifiers   the form of tenant, client ID and scope
  credential    secret, certificate and key, or assertion
  roots         the file in APPONLY_CA_FILE
  proxy         the one that applies, and whether it lets the connection through
  dns           the name of the authority
  connect       its address
  tls           its certificate, and who issued that
  clock         this machine's, against the server's
  token         one real token request
  permissions   what the token says: app-only, audience, tenant, roles

The exit status is 1 if there is a fault; warnings are none. Nothing that is
printed is a secret.`,
		Example: `  apponly doctor
  apponly doctor --scope https://graph.microsoft.com/.default
  apponly doctor --offline --output json
  kubectl exec deploy/worker -- apponly doctor --scope api://orders/.default`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return examine(cmd, opts, out.value) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Scope, "scope", "", "ask for a token for this API, RESOURCE/.default (default: Microsoft Graph)")
	flags.BoolVar(&opts.Offline, "offline", false, "make no check that needs a network")
	return cmd
}

// errFault is the exit status of a report, which has said what is wrong.
var errFault = errors.New("")

// examine prints the findings as they come, or JSON at the end.
func examine(cmd *cobra.Command, opts doctor.Options, out string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	stdout := cmd.OutOrStdout()
	progress := screen.NewProgress(screen.Of(cmd.ErrOrStderr()))
	page := doctor.NewPage(stdout, screen.Of(stdout))
	opts.Begin = func(check string) { progress.Begin("checking " + check) }
	var failed error
	opts.End = func(r doctor.Result) {
		progress.End()
		if out == "text" {
			failed = errors.Join(failed, page.Print(r))
		}
	}
	report, err := doctor.Run(ctx, opts)
	progress.End()
	if err != nil {
		return errors.New("interrupted")
	}
	if out == "json" {
		failed = printJSON(stdout, report)
	}
	if failed == nil && !report.OK {
		failed = errFault
	}
	return failed
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
