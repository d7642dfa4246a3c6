// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// A row is a line of the table. A library without a cell cannot do the case.
type row struct {
	name, floor string
	cells       map[string]string
	prefix      map[string]string
}

func newRow(name string) row {
	return row{name: name, cells: map[string]string{}, prefix: map[string]string{}}
}

// durations fills a row with times and what they are to ours.
func (r row) durations(times map[string]time.Duration) {
	our := times[ours.name]
	for name, d := range times {
		if name == ours.name {
			r.cells[name] = r.prefix[name] + "**" + duration(d) + "**"
		} else {
			r.cells[name] = fmt.Sprintf("%s%s (%s×)", r.prefix[name], duration(d), ratio(float64(d)/float64(our)))
		}
	}
}

// A column is a library that is measured.
type column struct{ name, module string }

// printTable prints rows as Markdown.
func printTable(w io.Writer, columns []column, rows []row) {
	line := func(cells ...string) { fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |") }
	header, rule := []string{"case", "floor"}, []string{"---", "---"}
	for _, c := range columns {
		header, rule = append(header, c.name), append(rule, "---")
	}
	line(header...)
	line(rule...)
	for _, r := range rows {
		cells := []string{r.name, cmp.Or(r.floor, "-")}
		for _, c := range columns {
			cells = append(cells, cmp.Or(r.cells[c.name], "-"))
		}
		line(cells...)
	}
	fmt.Fprintln(w)
}

// printNotes prints how the tables are to be read, the machine and the versions.
func printNotes(w io.Writer, columns []column) {
	fmt.Fprintf(w, "Times of hits are the least of many short slices, taken in turn. "+
		"Floor: one atomic load, one time.Now, one comparison. "+
		"(n×): n times apponly's time or memory. -: no such case, or no such thing in that library.\n")
	fmt.Fprintf(w, "\n%s, %s/%s, %s, %s.", runtime.Version(), runtime.GOOS, runtime.GOARCH, plural(runtime.NumCPU(), "core"), processor())
	for _, c := range columns {
		if c.module != "" {
			fmt.Fprintf(w, " %s %s.", c.module, version(c.module))
		}
	}
	fmt.Fprintln(w)
}

// version returns which version of a module is compiled in.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return "(unknown)"
}

// processor returns the processor's name where there is an easy way to know.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "processor unknown"
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor unknown"
}

func nanoseconds(ns float64) string {
	if ns < 100 {
		return fmt.Sprintf("%.1f ns", ns)
	}
	return thousands(int(ns+0.5)) + " ns"
}

func duration(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func ratio(r float64) string {
	if r < 9.95 {
		return fmt.Sprintf("%.1f", r)
	}
	return thousands(int(r + 0.5))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
