// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly/cmd/apponly/internal/doctor"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
)

func newProve(out *choice) *cobra.Command {
	var opts doctor.Options
	var next, password string
	cmd := &cobra.Command{
		Use:   "prove --next PATH",
		Short: "Try the next secret or certificate before the old one goes",
		Long: `Try the credential that is about to be rolled out, in the place of the one of the
same kind that the environment names: a file with a secret, a certificate with
its key (or a directory with tls.crt and tls.key), or an assertion. Everything
else, tenant, app, cloud and roots, is the environment's.

It makes the checks of doctor, with a real token request that nothing but the
next credential can answer. Do it after the credential was registered with the
app and before the old one is removed; Entra may take a few minutes to know it.
Nothing is changed.`,
		Example: `  apponly prove --next /run/new/secret
  apponly prove --next ./next.pfx --password-file ./next.password --scope api://orders/.default`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if next == "" {
				return usagef("--next is required: the file with the next credential")
			}
			if opts.Scope != "" {
				if err := ident.CheckScope(opts.Scope); err != nil {
					return usagef("--scope: %w", err)
				}
			}
			env := inside.Look()
			opts.InUse = inUse(cmd.Context(), env)
			if err := putInPlace(env.Credential, next, password); err != nil {
				return err
			}
			return examine(cmd, opts, out.value)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&next, "next", "", "the file with the next credential")
	flags.StringVar(&password, "password-file", "", "the file with the password of the next certificate")
	flags.StringVar(&opts.Scope, "scope", "", "ask for a token for this API, RESOURCE/.default (default: Microsoft Graph)")
	return cmd
}

// inUse returns the fingerprint of the credential in the environment. If it cannot be
// read, which may be why there is a next one, there is none.
func inUse(ctx context.Context, env inside.Environment) (fingerprint [32]byte) {
	if env.Read == nil || env.Network {
		return fingerprint
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	proof, err := env.Read(ctx)
	if err != nil {
		return fingerprint
	}
	return proof.Fingerprint
}

// A place is where the environment has a kind of credential.
type place struct {
	file     string   // the variable that names it
	password string   // likewise of its password, "" if it has none
	besides  []string // variables that go with the present one alone
}

var places = map[string]place{
	"secret": {file: "APPONLY_CLIENT_SECRET_FILE", besides: []string{"AZURE_CLIENT_SECRET"}},
	"certificate": {
		file: "AZURE_CLIENT_CERTIFICATE_PATH", password: "APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE",
		besides: []string{"APPONLY_CLIENT_CERTIFICATE_KEY_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD"},
	},
	"federated": {file: "AZURE_FEDERATED_TOKEN_FILE"},
}

// putInPlace has this process find the next credential where the present one was.
func putInPlace(kind, next, password string) error {
	p, known := places[kind]
	switch {
	case kind == "": // doctor says what is missing
		return nil
	case !known:
		return usagef("the credential of the environment is %s, which is no file: there is nothing to roll out", kind)
	case password != "" && p.password == "":
		return usagef("--password-file is for a certificate, and the credential of the environment is a %s", kind)
	}
	for _, name := range append(p.besides, p.password) {
		os.Unsetenv(name)
	}
	paths := map[string]string{p.file: next, p.password: password}
	for name, path := range paths {
		if path == "" {
			continue
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		os.Setenv(name, absolute)
	}
	return os.Setenv("APPONLY_CREDENTIAL", kind)
}
