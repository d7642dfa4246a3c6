// SPDX-License-Identifier: MIT

// Command bench measures apponly beside other libraries, in one run on one
// machine, and prints Markdown tables, one of token caches and one of what checks
// tokens:
//
//	go run ./bench                # everything; a few minutes
//	go run ./bench -short         # less of everything; under a minute
//	go run ./bench -case herd     # the cases whose name matches
//
// All of them talk to the same token service in memory. For libraries that only
// cache and leave the asking to others, a provider makes the one request.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
)

// A run is one run of the program.
type run struct {
	short, verbose bool
}

func (r *run) logf(format string, args ...any) {
	if r.verbose {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

var cases = []struct {
	name string
	run  func(*run) ([]row, error)
}{
	{"hit-1", hitOneKey(1)},
	{"hit-1-parallel", hitOneKey(2)},
	{"hit-10k-held", hitHeld(1)},
	{"hit-10k-held-parallel", hitHeld(2)},
	{"hit-10k-id", hitByID(1)},
	{"hit-10k-id-parallel", hitByID(2)},
	{"hit-1M", hitMillion},
	{"transport", overhead},
	{"exchange", exchange},
	{"start-1", coldStart(false)},
	{"start-2", coldStart(true)},
	{"herd", herd},
	{"slow-tenant", slowTenant},
	{"outage", outage},
	{"refusal", refusal},
	{"deadline", deadline},
	{"transport-deadline", tripDeadline},
	{"memory", memory},
	{"verify", verification},
}

func main() {
	var r run
	flag.BoolVar(&r.short, "short", false, "less of everything")
	flag.BoolVar(&r.verbose, "v", false, "say what is going on")
	match := flag.String("case", "", "run the cases that match this `regexp`")
	flag.Parse()
	if err := r.main(*match, flag.NArg()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (r *run) main(match string, args int) error {
	pattern, err := regexp.Compile(match)
	if err != nil || args > 0 {
		return fmt.Errorf("usage: bench [-short] [-v] [-case regexp] %w", err)
	}
	var rows, verifying []row
	for _, c := range cases {
		if !pattern.MatchString(c.name) {
			continue
		}
		r.logf("%s", c.name)
		more, err := c.run(r)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.name == "verify" {
			verifying = more
			continue
		}
		rows = append(rows, more...)
	}
	var caches, checkers []column
	for _, l := range libraries {
		caches = append(caches, column{l.name, l.module})
	}
	for _, v := range verifiers {
		checkers = append(checkers, column{v.name, v.module})
	}
	var all []column
	if len(rows) > 0 {
		printTable(os.Stdout, caches, rows)
		all = caches
	}
	if len(verifying) > 0 {
		printTable(os.Stdout, checkers, verifying)
		all = append(all, checkers...)
	}
	printNotes(os.Stdout, all)
	return nil
}
