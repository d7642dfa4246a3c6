// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly/cmd/apponly/internal/emuconfig"
	"github.com/apponly/apponly/entratest"
)

type emulatorOptions struct {
	addr   string
	dir    string
	config string
	admin  bool

	proxy     string
	proxyPass bool
	imds      string
}

func newEmulator() *cobra.Command {
	var opts emulatorOptions
	cmd := &cobra.Command{
		Use:   "emulator",
		Short: "Serve an Entra to develop and test against",
		Long: `Serve an emulated Microsoft Entra token service over TLS until interrupted.

It has a demo tenant with an app and an API; --config adds to it. When it is
ready, the directory holds, readable by you alone:

  ca.pem           the root to trust
  bundle.pem       the system's roots and this one
  client.pem       certificate and key of the demo app
  federated-token  an assertion of an outside issuer that the demo app trusts,
                   kept fresh
  env              lines for a shell to source: . DIR/env
  env-foreign      the same for programs in any language that know of no emulator
                   (with --proxy): a proxy by which it has Entra's own names
  env-NAME         the environment of a machine or job of the configuration
  emulator.json    what is printed

and one line of JSON is on stdout, which says where everything is. All keys and
secrets are made anew at every start, unless the configuration gives them.

While a client fails, open the authority and /_emulator/ in a browser: the
requests as they come, what was compared, faults to switch and the clock.`,
		Example: `  apponly emulator --addr 127.0.0.1:8443 --dir ./entra
  apponly emulator --config entra.yaml
  apponly emulator --proxy 127.0.0.1:8080 --dir ./entra   # then: . ./entra/env-foreign; az login …
  apponly emulator fault add --dir ./entra '{"endpoint":"token","status":503,"times":3}'`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.check(); err != nil {
				return err
			}
			// Anyone who reaches the admin path can make every client of this emulator
			// fail, so a network gets it only if asked for.
			if opts.exposed() {
				opts.admin = opts.admin && cmd.Flags().Changed("admin")
			}
			for _, text := range opts.warnings() {
				cmd.PrintErrln("apponly: warning: " + text)
			}
			return emulate(cmd, opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.addr, "addr", "127.0.0.1:0", "host:port to listen on; port 0 takes a free one")
	flags.StringVar(&opts.dir, "dir", "", "directory for what clients need (default: a temporary one, removed at the end)")
	flags.StringVar(&opts.config, "config", "", "YAML file with tenants, apps and more besides the demo")
	flags.BoolVar(&opts.admin, "admin", true, "serve /_emulator/; where --addr or --proxy is not loopback, only if given")
	flags.StringVar(&opts.proxy, "proxy", "", "host:port of a proxy by which clients reach it under Entra's own names")
	flags.BoolVar(&opts.proxyPass, "proxy-pass", false, "let the proxy pass on what it does not stand in for")
	flags.StringVar(&opts.imds, "imds", "", "host:port for the metadata service of a machine (default: a free port)")
	cmd.AddCommand(newFault())
	return cmd
}

// check reports what is wrong with the addresses.
func (o emulatorOptions) check() error {
	for _, a := range []struct{ flag, addr string }{{"--addr", o.addr}, {"--proxy", o.proxy}, {"--imds", o.imds}} {
		if _, err := checkAddr(a.addr); err != nil && (a.addr != "" || a.flag == "--addr") {
			return usagef("%s: %w", a.flag, err)
		}
	}
	if o.proxyPass && o.proxy == "" {
		return usagef("--proxy-pass: there is no --proxy")
	}
	return nil
}

// exposed reports whether others than this machine reach the authority: the proxy leads
// to it, too.
func (o emulatorOptions) exposed() bool { return isExposed(o.addr) || isExposed(o.proxy) }

func isExposed(addr string) bool {
	local, _ := checkAddr(addr)
	return addr != "" && !local
}

// warnings are what others than this machine get by the addresses.
func (o emulatorOptions) warnings() (list []string) {
	who := func(flag, addr, gets string) {
		if isExposed(addr) {
			list = append(list, flag+": "+addr+" is not a loopback address: whoever reaches it "+gets)
		}
	}
	admin := fmt.Sprintf(" (admin path: %t)", o.admin)
	who("--addr", o.addr, "and knows a secret gets tokens"+admin)
	who("--proxy", o.proxy, "gets tokens of the machine's identities"+admin)
	if o.proxyPass {
		who("--proxy-pass", o.proxy, "gets at whatever this machine reaches, itself included")
	}
	who("--imds", o.imds, "gets tokens of the machine's identities")
	return list
}

// checkAddr reports what is wrong with an address to listen on, and whether
// only this machine reaches it. Names but "localhost" count as not local: what
// they resolve to may change.
func checkAddr(addr string) (local bool, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false, errors.New("want host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return false, errors.New("the port must be a number from 0 to 65535")
	}
	if strings.Contains(host, "%") {
		return false, errors.New("an address with a zone cannot stand in a URL")
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback(), nil
}

// emulate serves until the process is told to stop, which is no failure.
func emulate(cmd *cobra.Command, opts emulatorOptions) (err error) {
	// A closed terminal or a reader of stdout that is gone must not leave secrets
	// behind in a temporary directory.
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup sets it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), ends...)
	defer stop()
	signal.Ignore(syscall.SIGPIPE)
	context.AfterFunc(ctx, stop) // so that a second interrupt ends the process at once

	sts := entratest.NewServer()
	defer sts.Close()
	sts.SetAdmin(opts.admin)
	sts.SetResourceManager(opts.proxy != "") // which leads there: az asks it before its login is done
	var applied emuconfig.Applied
	if opts.config != "" {
		if applied, err = emuconfig.Apply(sts, opts.config); err != nil {
			return &usageError{err: err, plain: true}
		}
		for _, id := range applied.Random {
			cmd.PrintErrf("apponly: the %s %s is %s\n", id.What, quote(id.Name), id.ID)
		}
	}

	dir, remove, err := emulatorDir.openDir(opts.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	authority, err := sts.ListenTLS(opts.addr)
	if err != nil {
		return err
	}
	d := newDemo(sts, authority, dir)
	d.envs = applied.Envs
	if err := d.surround(opts, applied.ProxyHosts); err != nil {
		return err
	}
	if err := d.write(); err != nil {
		return err
	}
	if _, err := cmd.OutOrStdout().Write(d.line()); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	cmd.PrintErrf("apponly: the emulator is at %s; for a shell: . %s\n", authority, quote(filepath.Join(dir, envFile)))
	if opts.admin {
		cmd.PrintErrf("apponly: for a browser, what it is asked and why it refuses: %s/_emulator/\n", authority)
	}
	if d.Proxy != "" {
		cmd.PrintErrf("apponly: for programs that know of no emulator: . %s\n", quote(d.EnvForeignFile))
	}
	d.keepFresh(ctx, func(err error) { cmd.PrintErrf("apponly: %v\n", err) })
	return nil
}
