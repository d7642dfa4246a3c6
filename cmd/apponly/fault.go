// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// newFault returns the commands that change a running emulator by its admin path,
// so that nobody needs to write curl lines.
func newFault() *cobra.Command {
	cmd := &cobra.Command{Use: "fault", Short: "Set the faults of a running emulator"}
	group(cmd)
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "dir", "", "the directory that the emulator was given")
	for _, c := range faultCommands {
		cmd.AddCommand(&cobra.Command{
			Use: c.use, Short: c.short, Example: c.example, Args: exactArgs(strings.Count(c.use, " ")),
			RunE: func(cmd *cobra.Command, args []string) error {
				if dir == "" {
					return usagef("--dir is required")
				}
				path, body, err := c.request(args)
				if err != nil {
					return err
				}
				answer, err := askAdmin(cmd.Context(), dir, c.method, path, body)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", cmp.Or(string(bytes.TrimSpace(answer)), "{}"))
				return err
			},
		})
	}
	return cmd
}

var faultCommands = []struct {
	use, short, example string
	method              string
	request             func(args []string) (path string, body []byte, err error)
}{
	{"add FAULT", "Add a fault, given as JSON",
		`  apponly emulator fault add --dir ./entra '{"endpoint":"token","status":429,"retry_after":"30","times":2}'
  apponly emulator fault add --dir ./entra '{"connection":"hang","probability":0.1}'
  apponly emulator fault add --dir ./entra '{"code":7000222,"client_id":"…"}'`, http.MethodPost, oneFault},
	{"list", "List the faults that are left", "", http.MethodGet, allFaults},
	{"remove ID", "Remove one fault", "", http.MethodDelete, faultByID},
	{"clear", "Remove all faults", "", http.MethodDelete, allFaults},
}

func allFaults([]string) (path string, body []byte, err error) { return faultsPath, nil, nil }

func oneFault(args []string) (path string, body []byte, err error) {
	if !json.Valid([]byte(args[0])) {
		return "", nil, usagef("the fault is not JSON")
	}
	return faultsPath, []byte(args[0]), nil
}

func faultByID(args []string) (path string, body []byte, err error) {
	if _, err := strconv.ParseUint(args[0], 10, 31); err != nil {
		return "", nil, usagef("%q is not the ID of a fault", args[0])
	}
	return faultsPath + "/" + args[0], nil, nil
}

const (
	faultsPath = "/_emulator/faults"
	maxAnswer  = 16 << 20
)

// askAdmin asks the emulator that wrote dir, and returns what it answered.
func askAdmin(ctx context.Context, dir, method, path string, body []byte) ([]byte, error) {
	var d demo
	line, err := os.ReadFile(filepath.Join(dir, emulatorFile))
	if err == nil {
		err = json.Unmarshal(line, &d)
	}
	if err != nil {
		return nil, fmt.Errorf("is an emulator running there? %w", err)
	}
	// From dir, not from the path in the line: it may be mounted elsewhere.
	ca, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New(caFile + " holds no certificate")
	}
	client := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
	}
	req, err := http.NewRequestWithContext(ctx, method, d.AuthorityHost+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("is the emulator still running? %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	case resp.StatusCode == http.StatusNotFound && adminError("", answer) != "":
		return nil, fmt.Errorf("the emulator refused it: %s", adminError("", answer))
	case resp.StatusCode == http.StatusNotFound:
		return nil, errors.New("the emulator serves no admin path: it was started with --admin=false, or with an --addr or a --proxy that is not loopback and without --admin")
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		return nil, usagef("the emulator refused it: %s", adminError(resp.Status, answer))
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("the emulator answered: %s", adminError(resp.Status, answer))
	}
	return answer, nil
}

func adminError(status string, answer []byte) string {
	var body struct{ Error string }
	if json.Unmarshal(answer, &body) == nil && body.Error != "" {
		return body.Error
	}
	return status
}
