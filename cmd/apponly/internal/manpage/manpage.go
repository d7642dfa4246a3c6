// SPDX-License-Identifier: MIT

// Package manpage makes manual pages of commands. That of cobra itself, package
// cobra/doc, takes their texts for Markdown, and runs the lines of a table together.
package manpage

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Name is the file of a command's page, such as apponly-doctor.1.
func Name(cmd *cobra.Command) string { return title(cmd) + ".1" }

func title(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// Page is the manual page of a command, in the man macros of roff, man(7).
func Page(cmd *cobra.Command, version string) string {
	var b strings.Builder
	section := func(name, text string) {
		if text = strings.Trim(text, "\n"); text != "" {
			b.WriteString(".SH " + name + "\n" + text + "\n")
		}
	}
	fmt.Fprintf(&b, ".TH %q 1 \"\" %q \"apponly\"\n", strings.ToUpper(title(cmd)), "apponly "+version)
	section("NAME", escape(title(cmd)+" - "+cmd.Short))
	section("SYNOPSIS", ".B "+escape(cmd.UseLine()))
	section("DESCRIPTION", text(cmd.Long))
	section("COMMANDS", commands(cmd))
	section("OPTIONS", options(cmd.NonInheritedFlags())+options(cmd.InheritedFlags()))
	section("EXAMPLES", plain(cmd.Example))
	section("EXIT STATUS", "0 if it worked, 1 if it failed, 2 if it was used wrongly.")
	section("SEE ALSO", seeAlso(cmd))
	return b.String()
}

// All returns a command and those below it that somebody is meant to use.
func All(cmd *cobra.Command) (all []*cobra.Command) {
	all = append(all, cmd)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, All(sub)...)
		}
	}
	return all
}

// text sets paragraphs, and what is indented as it stands.
func text(s string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, " ") {
			b.WriteString(plain(paragraph))
			continue
		}
		b.WriteString(escape(paragraph) + "\n")
	}
	return b.String()
}

// plain sets lines as they stand, without the margin that they have in common.
func plain(s string) string {
	s = strings.Trim(s, "\n")
	if s == "" {
		return ""
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = escape(strings.TrimPrefix(line, "  "))
	}
	return ".nf\n" + strings.Join(lines, "\n") + "\n.fi\n"
}

func commands(cmd *cobra.Command) string {
	var b strings.Builder
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			b.WriteString(".TP\n.B " + escape(sub.Name()) + "\n" + escape(sub.Short) + "\n")
		}
	}
	return b.String()
}

func options(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.DefValue != "" && f.DefValue != "false" {
			usage += " (default " + f.DefValue + ")"
		}
		b.WriteString(".TP\n.B " + escape(strings.TrimSpace(name+" "+value)) + "\n" + escape(usage) + "\n")
	})
	return b.String()
}

func seeAlso(cmd *cobra.Command) string {
	var names []string
	if cmd.HasParent() {
		names = append(names, escape(title(cmd.Parent()))+"(1)")
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, escape(title(sub))+"(1)")
		}
	}
	return strings.Join(names, ", ")
}

// escape has roff show a text as it is.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
