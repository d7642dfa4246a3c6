// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/consent"
)

// flagsOfConsent are the flags that set fields of consent.Config.
var flagsOfConsent = strings.NewReplacer("RedirectURL", "--redirect-url", "the field Scope", "--scope", "a Scope", "--scope")

func newConsentURL(out *choice) *cobra.Command {
	var config consent.Config
	var tenant string
	cmd := &cobra.Command{
		Use:   "consent-url",
		Short: "Print where an administrator approves the app",
		Long: `Print the address at which an administrator of a tenant grants the app the
application permissions of its registration (admin consent). Tenant, app and
cloud are those of the environment where they are not given; without a tenant it
is the administrator's own.

The address holds no secret and no state: it is for somebody whom you know. A
service that customers sign up for leads them there by package consent.`,
		Example: `  apponly consent-url
  apponly consent-url --tenant customer.example --redirect-url https://app.example/approved`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if config.Cloud, err = cloud.FromEnv(); err != nil {
				return errors.New(strings.TrimPrefix(err.Error(), "cloud: "))
			}
			fromEnv := func(given, name string) string { return cmp.Or(given, strings.TrimSpace(os.Getenv(name))) }
			if config.ClientID = fromEnv(config.ClientID, "AZURE_CLIENT_ID"); config.ClientID == "" {
				return usagef("--client-id is required, as AZURE_CLIENT_ID is not set")
			}
			tenant = cmp.Or(fromEnv(tenant, "AZURE_TENANT_ID"), "organizations")
			address, err := config.PlainURL(tenant)
			if err != nil {
				return usagef("%s", flagsOfConsent.Replace(strings.TrimPrefix(err.Error(), "consent: ")))
			}
			if out.value == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]string{"url": address, "tenant": tenant, "client_id": config.ClientID})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), address)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&tenant, "tenant", "", "tenant ID or domain (default: AZURE_TENANT_ID, else the administrator's)")
	flags.StringVar(&config.ClientID, "client-id", "", "the app (default: AZURE_CLIENT_ID)")
	flags.StringVar(&config.RedirectURL, "redirect-url", "", "where the browser goes then, as registered with the app (default: a page of Entra's)")
	flags.StringVar(&config.Scope, "scope", "", "ask for the permissions of this API alone, RESOURCE/.default (default: all that are registered)")
	return cmd
}
