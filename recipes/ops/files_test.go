// SPDX-License-Identifier: MIT

package ops_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"go.yaml.in/yaml/v4"
)

// A rule is one alert of the rules.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(read(t, directory, "prometheus-rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) < 8 {
		t.Fatalf("%+v", file)
	}
	return file.Groups[0].Rules
}

// A panel of the dashboard.
type panel struct {
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct{ Expr, LegendFormat string }
}

func panels(t *testing.T) []panel {
	t.Helper()
	var board struct{ Panels []panel }
	if err := json.Unmarshal([]byte(read(t, directory, "grafana.json")), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 6 {
		t.Fatalf("%d panels", len(board.Panels))
	}
	return board.Panels
}

// expressions returns the PromQL of both files by where it stands. Grafana's variables
// have values.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for i, r := range rules(t) {
		all[fmt.Sprint(r.Alert, " ", i)] = r.Expr
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*")
	for _, p := range panels(t) {
		for i, target := range p.Targets {
			all[fmt.Sprint(p.Title, " ", i)] = variables.Replace(target.Expr)
		}
	}
	return all
}

var (
	matcher   = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	grouping  = regexp.MustCompile(`(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	named     = regexp.MustCompile(`\b(?:apponly|target|otel)_\w+`)
	template  = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?(\w+)`)
	selectors = regexp.MustCompile(`\{[^}]*\}`)
)

// A name in a rule or on the dashboard that the module does not export is an alert that
// never fires.
func TestNamesAreExported(t *testing.T) {
	known := exported(t)
	labelled := map[string]bool{}
	for _, labels := range known {
		for label := range labels {
			labelled[label] = true
		}
	}
	used := map[string]bool{}
	for where, expr := range expressions(t) {
		grouped := grouping.FindAllStringSubmatch(expr, -1)
		bare := grouping.ReplaceAllString(selectors.ReplaceAllString(expr, ""), "")
		names := named.FindAllString(bare, -1)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, name := range names {
			used[name] = true
			labels, ok := known[name]
			if !ok {
				t.Errorf("%s: %s is not exported", where, name)
				continue
			}
			for _, m := range matcher.FindAllStringSubmatch(expr, -1) {
				if !labels[m[1]] {
					t.Errorf("%s: %s has no label %s", where, name, m[1])
				}
				if m[1] == "error_type" && m[3] != "" && apponly.Kind(m[3]).Remedy() == "" {
					t.Errorf("%s: %q is no kind", where, m[3])
				}
			}
			for _, g := range grouped {
				for label := range strings.FieldsFuncSeq(g[1], func(r rune) bool { return r == ',' || r == ' ' }) {
					if !labels[label] {
						t.Errorf("%s: %s has no label %s", where, name, label)
					}
				}
			}
		}
	}
	for name := range known {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if strings.HasPrefix(name, "apponly_") && !used[name] && !used[base+"_count"] {
			t.Errorf("nobody looks at %s", name)
		}
		if strings.HasPrefix(name, "apponly_") && !strings.Contains(read(t, manual), "`"+base+"`") {
			t.Errorf("%s does not name %s", manual, base)
		}
	}
	var texts strings.Builder
	texts.WriteString(read(t, directory, "prometheus-rules.yaml"))
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			texts.WriteString(target.LegendFormat + "\n")
		}
	}
	for _, m := range template.FindAllStringSubmatch(strings.ReplaceAll(texts.String(), "{{ $value", ""), -1) {
		if !labelled[m[1]] {
			t.Errorf("no metric has the label %s of a text", m[1])
		}
	}
}

// Who is woken finds out what to do.
func TestAlertsLeadToTheManual(t *testing.T) {
	text, cases := read(t, manual), read(t, directory, "rules_test.yaml")
	for _, r := range rules(t) {
		if want := "https://github.com/apponly/apponly/blob/main/docs/operations.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !strings.Contains(text, "\n### "+r.Alert+"\n") {
			t.Errorf("%s has no section %s", manual, r.Alert)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: %+v", r.Alert, r)
		}
		fires := regexp.MustCompile(`alertname: `+r.Alert+`\n +exp_alerts:`).FindAllString(cases, -1)
		if all := strings.Count(cases, "alertname: "+r.Alert+"\n"); len(fires) == 0 || all == len(fires) {
			t.Errorf("%s fires in %d of %d cases of rules_test.yaml", r.Alert, len(fires), all)
		}
	}
}

// Panels must neither overlap nor stick out.
func TestDashboardIsLaidOut(t *testing.T) {
	taken := map[[2]int]string{}
	for _, p := range panels(t) {
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s is over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// promtool runs Prometheus's own tool in a directory.
func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here: ", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtool(t *testing.T) {
	promtool(t, directory, "check", "rules", "--lint-fatal", "prometheus-rules.yaml")
	promtool(t, directory, "test", "rules", "rules_test.yaml")
}

// What the dashboard asks is PromQL.
func TestPromtoolOnTheDashboard(t *testing.T) {
	type record struct{ Record, Expr string }
	var all []record
	for _, expr := range expressions(t) {
		all = append(all, record{fmt.Sprint("job:panel:", len(all)), expr})
	}
	file := map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": all}}}
	b, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "panels.yaml"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "check", "rules", "panels.yaml")
}
