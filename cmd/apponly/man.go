// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/apponly/apponly/cmd/apponly/internal/manpage"
)

// newMan is for whoever packages the program: it is in no list of commands.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Args:   exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			for _, c := range manpage.All(cmd.Root()) {
				page := []byte(manpage.Page(c, version()))
				if err := os.WriteFile(filepath.Join(args[0], manpage.Name(c)), page, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
