// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/apponly/apponly"
)

// askEntra gets a token as the environment says, the way a pod would.
func askEntra(ctx context.Context, stdout io.Writer) error {
	fmt.Fprintf(stdout, "What the environment says:\n%s\n", apponly.ExplainEnv(nil))
	client, err := apponly.FromEnv(nil)
	if err != nil {
		return err
	}
	scope := cmp.Or(os.Getenv("APPONLY_SCOPE"), "https://graph.microsoft.com/.default")
	token, err := client.Token(ctx, scope)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Got a token for %s, good until %s.\n", scope, token.ExpiresOn().UTC().Format(time.RFC3339))

	target := os.Getenv("APPONLY_URL")
	if target == "" {
		return nil
	}
	opts := &apponly.TransportOptions{AllowLoopbackHTTP: true} // an API may be tried at home first
	if !strings.HasPrefix(scope, "https://") {
		// Only an https scope says by itself which host its token is for.
		u, err := url.Parse(target)
		if err != nil {
			return fmt.Errorf("APPONLY_URL: %w", err)
		}
		opts.Hosts = []string{hostPort(u)}
	}
	rt, err := apponly.NewTransport(client, scope, opts)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fmt.Errorf("APPONLY_URL: %w", err)
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintf(stdout, "GET %s answered %s.\n", req.URL.Redacted(), resp.Status)
	return nil
}

// hostPort names the port in any case: in TransportOptions.Hosts no port means
// 443, for plain http, too.
func hostPort(u *url.URL) string {
	if u.Port() == "" && u.Scheme == "http" {
		return u.Host + ":80"
	}
	return u.Host
}
