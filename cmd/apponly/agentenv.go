// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

func newAgentEnv() *cobra.Command {
	var dir string
	format := choice{"shell", []string{"shell", "k8s"}}
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the variables with which a program finds the agent",
		Long: `Print the variables with which Azure SDKs take a running agent for a managed
identity: for a shell, or as the env of a container. The header secret is not among
them: a shell reads it from its file, and a container from a Secret named
apponly-agent that the agent has as its header_file.

The variables that would lead an SDK elsewhere are unset. In a container, leave them
away: AZURE_FEDERATED_TOKEN_FILE and AZURE_CLIENT_SECRET belong to the agent alone.`,
		Example: `  eval "$(apponly agent env --dir ./agent)"
  apponly agent env --dir ./agent --format k8s`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usagef("--dir is required: the agent's")
			}
			at, err := readAddresses(dir)
			if err != nil {
				return err
			}
			text, err := agentEnv(at, format.value)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the agent's --dir")
	cmd.Flags().Var(&format, "format", "shell or k8s")
	return cmd
}

// readAddresses reads where the agent of a directory is.
func readAddresses(dir string) (at agent.Addresses, err error) {
	path := filepath.Join(dir, agentFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return at, fmt.Errorf("there is no %s: is an agent running there?", path)
	}
	if err != nil {
		return at, err
	}
	if err := json.Unmarshal(data, &at); err != nil {
		return at, fmt.Errorf("%s: %w", path, err)
	}
	return at, nil
}

// A variable is one that an application needs, or must not have.
type variable struct{ name, value string }

// variables lead an SDK to an agent.
func variables(at agent.Addresses) ([]variable, error) {
	switch {
	case at.Endpoint != "":
		return []variable{
			{"IDENTITY_ENDPOINT", at.Endpoint},
			{"AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"},
		}, nil
	case at.IMDS != "":
		return []variable{
			{"AZURE_POD_IDENTITY_AUTHORITY_HOST", at.IMDS},
			{"AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"},
		}, nil
	}
	return nil, errors.New("the agent listens on a socket alone, which Azure SDKs do not know: give it --addr")
}

// leadAway are variables of other managed identities, which SDKs prefer.
var leadAway = []string{"IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT"}

// direct are the hosts that SDKs in JavaScript and Python would ask a proxy for.
const direct = "127.0.0.1,localhost,::1"

func agentEnv(at agent.Addresses, format string) (string, error) {
	vars, err := variables(at)
	if err != nil {
		return "", err
	}
	if format == "k8s" {
		return containerEnv(vars, at.Endpoint != "")
	}
	var b strings.Builder
	for _, v := range vars {
		fmt.Fprintf(&b, "export %s=%s\n", v.name, quote(v.value))
	}
	away := leadAway
	if at.Endpoint != "" {
		fmt.Fprintf(&b, "export IDENTITY_HEADER=\"$(cat %s)\"\n", quote(at.HeaderFile))
	} else {
		away = append([]string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER"}, away...)
	}
	// Some read one of the two, some the other; neither may hide what was in it.
	fmt.Fprintf(&b, "export NO_PROXY=\"%s,${NO_PROXY:-${no_proxy:-}}\"\n", direct)
	fmt.Fprintf(&b, "export no_proxy=\"%s,${no_proxy:-$NO_PROXY}\"\n", direct)
	fmt.Fprintf(&b, "unset %s\n", strings.Join(away, " "))
	return b.String(), nil
}

// containerEnv is the env of a container.
func containerEnv(vars []variable, header bool) (string, error) {
	type secretKey struct {
		Name string `yaml:"name"`
		Key  string `yaml:"key"`
	}
	type source struct {
		SecretKeyRef secretKey `yaml:"secretKeyRef"`
	}
	type entry struct {
		Name      string  `yaml:"name"`
		Value     string  `yaml:"value,omitempty"`
		ValueFrom *source `yaml:"valueFrom,omitempty"`
	}
	var env []entry
	for _, v := range append(vars, variable{"NO_PROXY", direct}, variable{"no_proxy", direct}) {
		env = append(env, entry{Name: v.name, Value: v.value})
	}
	if header {
		env = append(env, entry{Name: "IDENTITY_HEADER", ValueFrom: &source{secretKey{"apponly-agent", headerFile}}})
	}
	text, err := yaml.Marshal(map[string]any{"env": env})
	return string(text), err
}
