// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apponly/apponly/cmd/apponly/internal/doctor"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

// TestDoctorPicture holds the picture in the README to what a terminal shows.
func TestDoctorPicture(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	find(refusalSetUps, "wrong secret")(c)
	_, stdout, _ := c.examine("--scope", c.scope, "--output", "json")
	var report doctor.Report
	if err := json.Unmarshal([]byte(c.settle(stdout)), &report); err != nil {
		t.Fatal(err)
	}
	const columns = 104
	var out bytes.Buffer
	page := doctor.NewPage(&out, screen.Screen{Width: columns, Colours: true})
	for _, r := range report.Checks {
		if err := page.Print(r); err != nil {
			t.Fatal(err)
		}
	}
	compareGolden(t, "../../docs/doctor.svg", terminal("apponly doctor", out.String(), columns))
}

var painted = regexp.MustCompile("\x1b\\[([0-9;]+)m(.*?)\x1b\\[0m")

// terminal draws what a terminal would show. Each piece is stretched to the columns it
// takes, since nobody knows which font there is.
func terminal(command, output string, columns int) string {
	const width, height, size, edge = 7.8, 19, 13, 16
	const plain = "#e6edf3"
	fills := map[string]string{screen.Bold: plain, screen.Red: "#ff7b72", screen.Green: "#7ee787", screen.Yellow: "#e3b341", screen.Dim: "#8b949e"}
	lines := strings.Split(strings.TrimSuffix("\x1b[2m$\x1b[0m "+command+"\n"+output, "\n"), "\n")
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="ui-monospace,Menlo,Consolas,monospace" font-size="%d">`+"\n",
		float64(columns)*width+2*edge, len(lines)*height+2*edge, size)
	b.WriteString(`<rect width="100%" height="100%" rx="8" fill="#0d1117"/>` + "\n")
	for i, line := range lines {
		column := 0
		piece := func(text, fill string) {
			n := utf8.RuneCountInString(text)
			if trimmed := strings.TrimSpace(text); trimmed != "" {
				indent := utf8.RuneCountInString(text) - utf8.RuneCountInString(strings.TrimLeft(text, " "))
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="%s" textLength="%.1f">%s</text>`+"\n", edge+float64(column+indent)*width,
					edge+i*height+size, fill, float64(utf8.RuneCountInString(trimmed))*width, html.EscapeString(trimmed))
			}
			column += n
		}
		at := 0
		for _, m := range painted.FindAllStringSubmatchIndex(line, -1) {
			piece(line[at:m[0]], plain)
			piece(line[m[4]:m[5]], fills[line[m[2]:m[3]]])
			at = m[1]
		}
		piece(line[at:], plain)
	}
	return b.String() + "</svg>\n"
}
