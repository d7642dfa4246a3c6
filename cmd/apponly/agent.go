// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/internal/ident"
)

// The files of an agent's directory.
const (
	headerFile = "identity-header"
	agentFile  = "agent.json"
)

// An agentCommand is how "apponly agent" was called.
type agentCommand struct {
	config string
	dir    string
	simple agent.Listen // the simple case
	health string
	scopes []string
}

func newAgent() *cobra.Command {
	var a agentCommand
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Hand out tokens to the programs next door",
		Long: `Hand out tokens of an app to the programs of this host or pod until interrupted.
They need no credential and no library of ours: an Azure SDK takes the agent for a
managed identity, an OAuth client for a token endpoint, and "apponly agent env" prints
the variables for that.

Without --config the app is that of the environment, as for apponly.FromEnv, and who
has the header secret gets tokens for each --scope, as does this user on --socket and
whoever reaches --imds. The secret is in DIR/` + headerFile + `, readable by you alone.

When it is ready, one line of JSON on stdout says where everything is; --dir keeps it
in DIR/` + agentFile + `. Each call is a line of JSON on stderr, without tokens.

SIGHUP has the configuration read again, and the header secret changed; the old one is
good for ten minutes more. No call fails for it.`,
		Example: `  apponly agent --dir ./agent --scope https://graph.microsoft.com/.default
  eval "$(apponly agent env --dir ./agent)"   # in the shell of the application
  apponly agent --config /etc/apponly/agent.yaml`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.config == "" {
				if err := a.checkFlags(); err != nil {
					return err
				}
				return a.run(cmd)
			}
			for _, name := range []string{"addr", "socket", "scope", "imds", "health"} {
				if cmd.Flags().Changed(name) {
					return usagef("--%s does not go with --config: it stands there", name)
				}
			}
			return a.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&a.config, "config", "", "YAML file with callers, apps, files, proxies and more")
	flags.StringVar(&a.simple.TCP, "addr", "127.0.0.1:8181", `loopback host:port to listen on; port 0 takes a free one, "" none`)
	flags.StringVar(&a.simple.Socket, "socket", "", "Unix socket to listen on, for this user")
	flags.StringVar(&a.simple.IMDS, "imds", "", "loopback host:port for clients that know only the metadata service of a virtual machine; it wants no secret")
	flags.StringVar(&a.health, "health", "", "host:port for /healthz, /readyz and /statusz")
	flags.StringArrayVar(&a.scopes, "scope", nil, "RESOURCE/.default that callers get tokens for; may be given more than once")
	flags.StringVar(&a.dir, "dir", "", "directory for "+headerFile+" and "+agentFile+" (default: a temporary one, removed at the end)")
	cmd.AddCommand(newAgentEnv())
	return cmd
}

// checkFlags tells faults by the names of the flags.
func (a *agentCommand) checkFlags() error {
	if len(a.scopes) == 0 {
		return usagef("--scope is required, or --config")
	}
	for _, scope := range a.scopes {
		if err := ident.CheckScope(scope); err != nil {
			return usagef("--scope: %w", err)
		}
	}
	for _, f := range []struct {
		name, value string
		far         string // what is no loopback address, and will do; "*": all
	}{{"addr", a.simple.TCP, ""}, {"imds", a.simple.IMDS, "169.254.169.254:80"}, {"health", a.health, "*"}} {
		if f.value == "" {
			continue
		}
		local, err := checkAddr(f.value)
		if err != nil {
			return usagef("--%s: %w", f.name, err)
		}
		if !local && f.far != "*" && f.value != f.far {
			return usagef("--%s: want a loopback address such as 127.0.0.1: tokens and the header secret would cross the network in plain text", f.name)
		}
	}
	if a.simple == (agent.Listen{}) {
		return usagef("there is nothing to listen on: want --addr, --socket or --imds")
	}
	return nil
}

// configuration is what --config says, or the flags.
func (a *agentCommand) configuration(log *slog.Logger) (*agent.Config, error) {
	if a.config != "" {
		cfg, err := agent.Load(a.config)
		if _, ok := errors.AsType[*agent.ConfigError](err); err != nil && !ok {
			err = fmt.Errorf("--config: %w", err)
		}
		if err != nil {
			return nil, &usageError{err: err, plain: true}
		}
		cfg.Logger = log
		return cfg, nil
	}
	listen := a.simple
	cfg := &agent.Config{Listen: listen, Health: agent.Health{TCP: a.health}, Warm: a.scopes, Logger: log}
	if listen.TCP != "" {
		cfg.HeaderFile = filepath.Join(a.dir, headerFile)
		cfg.Callers = append(cfg.Callers, agent.Caller{Header: agent.DefaultHeader, Scopes: a.scopes})
	}
	if listen.Socket != "" {
		path, err := filepath.Abs(listen.Socket)
		if err != nil {
			return nil, err
		}
		cfg.Listen.Socket = path
		cfg.Callers = append(cfg.Callers, agent.Caller{UID: []int{os.Getuid()}, Scopes: a.scopes})
	}
	if listen.IMDS != "" {
		cfg.Callers = append(cfg.Callers, agent.Caller{IMDS: true, Scopes: a.scopes})
	}
	return cfg, nil
}

// run serves until the process is told to stop, which is no failure.
func (a *agentCommand) run(cmd *cobra.Command) (err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second interrupt ends the process at once
	hangups := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup sets it
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}
	if err := hideMemory(); err != nil {
		return err
	}
	if a.config == "" || a.dir != "" {
		dir, remove, err := agentDir.openDir(a.dir)
		if err != nil {
			return err
		}
		a.dir = dir
		defer func() { err = errors.Join(err, remove()) }()
	}
	log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
	r := &agentRun{agentCommand: a, log: log}
	if err := r.load(); err != nil {
		return err
	}
	var lineErr error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go r.follow(ctx, hangups)
	err = r.agent.Run(ctx, func(at agent.Addresses) {
		if lineErr = a.announce(cmd, at); lineErr != nil {
			cancel()
		}
	})
	return errors.Join(err, lineErr, a.retract())
}

// An agentRun is an agent and what it was made of.
type agentRun struct {
	*agentCommand
	log    *slog.Logger
	agent  *agent.Agent
	shared agent.Shared
	cache  *apponly.Cache
}

// load reads the configuration, and puts it into effect if all of it can be. The cache
// stays if it can, so that no token is asked for again.
func (r *agentRun) load() error {
	cfg, err := r.configuration(r.log)
	if err != nil {
		return err
	}
	cache := r.cache
	if cache == nil || r.shared != cfg.Shared {
		if cache, err = agent.NewCache(cfg.Shared); err != nil {
			return err
		}
	}
	clients, err := agent.NewClients(cfg, cache)
	if err != nil {
		return err
	}
	if r.agent != nil {
		err = r.agent.Reload(cfg, clients)
	} else {
		r.agent, err = agent.New(cfg, clients)
	}
	if err == nil {
		r.cache, r.shared = cache, cfg.Shared
	}
	return err
}

// follow does what a hangup asks for.
func (r *agentRun) follow(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		if err := r.load(); err != nil {
			r.log.Error("the configuration stays as it was", "error", err.Error())
		} else {
			r.log.Info("the configuration was read")
		}
		if err := r.agent.RotateHeader(); err != nil {
			r.log.Error("the header secret stays as it was", "error", err.Error())
		}
	}
}

// announce says where the agent is.
func (a *agentCommand) announce(cmd *cobra.Command, at agent.Addresses) error {
	line, err := json.Marshal(at)
	if err != nil { // text only
		panic(err)
	}
	line = append(line, '\n')
	if a.dir != "" {
		if err := writeFile(a.dir, agentFile, line); err != nil {
			return fmt.Errorf("--dir: %w", err)
		}
	}
	if _, err := cmd.OutOrStdout().Write(line); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	return nil
}

// retract removes what says that an agent is there. The secret stays, so that programs
// that have it find the next agent.
func (a *agentCommand) retract() error {
	if a.dir == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(a.dir, agentFile)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
