// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/peek"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
)

func newToken() *cobra.Command {
	form, scope := choice{"text", tokenForms}, ""
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Get a token for an API",
		Long: `Get a token for the app that the environment describes, as apponly.FromEnv does,
and print it:

  text             the token
  header           the header of a request, for curl -H @-
  json             the token and when it ends
  claims           what the token says, without the token
  exec-credential  for kubectl and what else uses client-go: an ExecCredential of
                   client.authentication.k8s.io/v1. The token is kept for the next
                   run, in the user's cache directory, where only the user can
                   read it.

All but claims print a token: whoever reads it can use it until it ends. It is
nowhere else: not in messages, and never in arguments.`,
		Example: `  apponly token --scope https://graph.microsoft.com/.default --output header |
    curl -H @- https://graph.microsoft.com/v1.0/organization
  apponly token --scope api://orders/.default --output claims
  apponly token --scope 6dae42f8-4368-4678-94ff-3960e28e3630/.default --output exec-credential`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if scope == "" {
				return usagef("--scope is required: RESOURCE/.default")
			}
			if err := ident.CheckScope(scope); err != nil {
				return usagef("--scope: %w", err)
			}
			return printToken(cmd, form.value, scope)
		},
	}
	cmd.Flags().StringVar(&scope, "scope", "", "the API that the token is for, RESOURCE/.default")
	form.register(cmd, cmd.Flags(), "form: "+strings.Join(tokenForms, ", "))
	return cmd
}

var tokenForms = []string{"text", "header", "json", "claims", "exec-credential"}

func printToken(cmd *cobra.Command, form, scope string) error {
	get := func(ctx context.Context) (apponly.Token, error) {
		client, err := apponly.FromEnv(nil)
		if err != nil {
			return apponly.Token{}, err
		}
		return client.Token(ctx, scope)
	}
	if form == "exec-credential" {
		if err := checkExecInfo(os.Getenv(execInfo)); err != nil {
			return err
		}
		cache, err := keptTokens()
		if err != nil {
			cmd.PrintErrf("apponly: the token is not kept for the next run: %v\n", err)
		}
		get = func(ctx context.Context) (apponly.Token, error) { return keptToken(ctx, cache, scope) }
	}
	token, err := waitFor(cmd, "asking for a token", get)
	if err != nil {
		return err
	}
	text, err := tokenText(form, token, time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

// waitFor does what may take a while: until it has come to its end, or somebody ends it.
func waitFor[T any](cmd *cobra.Command, what string, do func(context.Context) (T, error)) (T, error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	progress := screen.NewProgress(screen.Of(cmd.ErrOrStderr()))
	progress.Begin(what)
	v, err := do(ctx)
	progress.End()
	switch {
	case err == nil:
		return v, nil
	case ctx.Err() != nil:
		return v, errors.New("interrupted")
	}
	return v, withRemedy(err)
}

// withRemedy says of an error of package apponly what to do about it.
func withRemedy(err error) error {
	lines := strings.ReplaceAll(err.Error(), "\napponly: ", "\n")
	lines = strings.TrimPrefix(lines, "apponly: ")
	_, kind := inside.Cause(err)
	if remedy := apponly.Kind(kind).Remedy(); remedy != "" {
		lines += "\n→ " + remedy
	}
	return errors.New(lines)
}

// tokenText is what is printed of a token.
func tokenText(form string, t apponly.Token, now time.Time) (string, error) {
	var v any
	switch form {
	case "text":
		return t.Value(), nil
	case "header":
		return "Authorization: Bearer " + t.Value(), nil
	case "claims":
		parsed, err := peek.Parse(t.Value())
		switch {
		case err != nil:
			return "", fmt.Errorf("the token cannot be read: %w", err)
		case parsed.Encrypted():
			return "", errors.New("the token is encrypted: only its API can read it")
		}
		return string(parsed.Claims), nil
	case "json":
		v = struct {
			AccessToken string    `json:"access_token"`
			TokenType   string    `json:"token_type"`
			ExpiresIn   int       `json:"expires_in"` // seconds, as in RFC 6749 section 5.1
			ExpiresOn   time.Time `json:"expires_on"`
		}{t.Value(), "Bearer", int(t.ExpiresOn().Sub(now).Seconds()), t.ExpiresOn().UTC().Truncate(time.Second)}
	default:
		v = execCredential(t)
	}
	b, err := json.Marshal(v)
	return string(b), err
}
