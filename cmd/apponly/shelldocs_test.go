// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const checkout = "../.."

// notRun is the lines that the test of the pages leaves alone, and why; with a blank at its
// end it is how they begin.
var notRun = map[string]string{
	"go test work":          "it is what runs this test",
	".ci/run":               "it is what runs this test",
	".ci/release ":          "it runs .ci/run",
	"go run ./bench -short": "it measures for minutes",
	"cd cmd/apponly":        "it is for what needs a release",
	"GOWORK=off go ":        "it needs a release that proxies have",
	"kubectl create ":       "it needs a cluster",
	"kubectl apply ":        "it needs a cluster",
	"kubectl port-forward ": "it needs a cluster",
	"az ad ":                "it needs a tenant",
	"api=$(az ":             "it needs a tenant",
	"role=$(az ":            "it needs a tenant",
	"caller=$(az ":          "it needs a tenant",
	"az rest ":              "it needs a tenant",
}

// TestPagesShowCommandsThatRun types what the pages show, a block at a time. Of "go test"
// it looks for the tests and flags that are named: they take minutes.
func TestPagesShowCommandsThatRun(t *testing.T) {
	t.Parallel()
	shared := sharedEmulator(t)
	blocks, met, ran := 0, map[string]bool{}, map[string]bool{}
	for page, text := range pages(t) {
		for _, m := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
			blocks++
			var lines []string
			for _, line := range commandsOf(m[1]) {
				if key := leftAlone(line); key != "" {
					met[key] = true
				} else if strings.HasPrefix(line, "go test ") {
					holdGoTest(t, page, line)
				} else if !strings.Contains(line, " ./cmd/") && !strings.Contains(line, " ./examples/") {
					lines = append(lines, line)
				} else if !ran[line] {
					ran[line] = true
					typeGo(t, page, line)
				}
			}
			typeBlock(t, page, lines, shared)
		}
	}
	if blocks < 25 {
		t.Errorf("%d blocks", blocks)
	}
	for key := range notRun {
		if !met[key] {
			t.Errorf("no page has the line %q", key)
		}
	}
}

// pages returns the text of all pages.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(checkout, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			text, err := os.ReadFile(path)
			all[path] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// commandsOf returns the commands of a block, without comments.
func commandsOf(block string) (commands []string) {
	comment := regexp.MustCompile(`(^|\s)#\s.*$`)
	open := ""
	for line := range strings.Lines(block) {
		line = open + strings.TrimSpace(comment.ReplaceAllString(strings.TrimSuffix(line, "\n"), ""))
		switch {
		case line == "":
		case strings.HasSuffix(line, `\`), strings.HasSuffix(line, "|"), strings.HasPrefix(line, "for ") && !strings.HasSuffix(line, "done"):
			open = line + "\n"
			continue
		default:
			commands = append(commands, line)
		}
		open = ""
	}
	return commands
}

func TestCommandsOf(t *testing.T) {
	t.Parallel()
	got := commandsOf("# all\na b   # c\n\n   x |\n     y\nz \\\n 1\nfor a in b; do\n  c\ndone\n")
	want := []string{"a b", "x |\ny", "z \\\n1", "for a in b; do\nc\ndone"}
	if strings.Join(got, "&") != strings.Join(want, "&") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func leftAlone(line string) (key string) {
	for key := range notRun {
		if line == key || strings.HasSuffix(key, " ") && strings.HasPrefix(line, key) {
			return key
		}
	}
	return ""
}

var (
	plainFlag = regexp.MustCompile(`^-(run|fuzz|fuzztime|race|shuffle=on|v)$`) // go test's own
	nothing   = "^$"
)

// holdGoTest looks for what a line of "go test" names: tests, fuzz targets and flags of
// their packages.
func holdGoTest(t *testing.T, page, line string) {
	t.Helper()
	words := strings.Fields(strings.NewReplacer("'", "", `"`, "").Replace(line))
	code := testsOf(t, words)
	previous := ""
	for _, word := range words {
		if previous == "-run" || previous == "-fuzz" {
			for name := range strings.SplitSeq(word, "|") {
				begins := regexp.MustCompile(`(?m)^func (Test|Fuzz)\w*` + strings.TrimPrefix(strings.TrimPrefix(name, "Test"), "Fuzz"))
				if name != nothing && !begins.MatchString(code) {
					t.Errorf("%s: %s: there is no test %s", page, line, name)
				}
			}
		} else if strings.HasPrefix(word, "-") && !plainFlag.MatchString(word) && !strings.Contains(code, `("`+word[1:]+`", `) {
			t.Errorf("%s: %s: there is no flag %s", page, line, word)
		}
		previous = word
	}
}

// testsOf returns the tests of the packages among the words.
func testsOf(t *testing.T, words []string) string {
	t.Helper()
	var code strings.Builder
	for _, word := range words {
		if word != "." && !strings.HasPrefix(word, "./") {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(checkout, word, "*_test.go"))
		if len(files) == 0 {
			t.Errorf("%q: there is no package %s", words, word)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(text)
		}
	}
	return code.String()
}

// typeGo runs a line that builds something of this repository.
func typeGo(t *testing.T, page, line string) {
	t.Helper()
	p := newPrompt(t)
	cmd := p.shell(t, strings.ReplaceAll(line, " -o pod ", " -o "+quote(filepath.Join(p.dir, "pod"))+" "))
	cmd.Dir, cmd.Env = checkout, append(cmd.Env, "GOBIN="+p.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %s: %v\n%s", page, line, err, out)
	}
}

// sharedEmulator starts the emulator for the blocks that start none, and returns its
// directory. What the pages call Graph and orders is there.
func sharedEmulator(t *testing.T) (dir string) {
	t.Helper()
	p := newPrompt(t)
	config := "resources: [{uri: 'api://orders', tenant: demo, roles: [Orders.Read]}]\n" +
		"grants: [{app: demo, resource: 'api://orders', tenant: demo, roles: [Orders.Read]}]\n" +
		"proxy_hosts: [graph.microsoft.com]\n"
	if err := os.WriteFile(filepath.Join(p.dir, "entra.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.serve(t, "apponly emulator --config entra.yaml --proxy 127.0.0.1:0 --dir ./entra", "entra/emulator.json")
	return filepath.Join(p.dir, "entra")
}

// typeBlock types the lines of a block: what serves goes to a terminal of its own, and the
// rest to another.
func typeBlock(t *testing.T, page string, lines []string, shared string) {
	t.Helper()
	p := newPrompt(t)
	p.install(t, "kubectl", "echo 'level=ERROR err=\"AADSTS7000215: Invalid client secret provided\"'\n")
	furnish(t, p.dir)
	text := strings.Join(lines, "\n")
	script := ""
	if !strings.Contains(text, "apponly emulator --") {
		if err := os.Symlink(shared, filepath.Join(p.dir, "entra")); err != nil {
			t.Fatal(err)
		}
		script = ". ./entra/env-foreign\n"
	}
	for _, line := range lines {
		// Other ports than those that everybody has, in case somebody has them.
		switch line = strings.ReplaceAll(line, " 127.0.0.1:8080 ", " 127.0.0.1:0 "); {
		case strings.Contains(line, "apponly emulator --"):
			p.serve(t, line, "entra/emulator.json")
		case strings.Contains(line, "apponly agent --"):
			p.serve(t, strings.Replace(line, " agent ", " agent --addr 127.0.0.1:0 ", 1), "agent/agent.json")
		default:
			script += line + "\n"
		}
	}
	if script == "" || len(lines) == 0 || lacks(t, page, script) {
		return
	}
	if strings.Contains(script, " fault add ") {
		script += "apponly emulator fault clear --dir ./entra\n" // the emulator is that of other pages, too
	}
	if out, err := p.shell(t, p.place(t, script)).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", page, err, script, out)
	}
}

// lacks reports whether a script asks for a program that is not on this machine.
func lacks(t *testing.T, page, script string) bool {
	for part, program := range map[string]string{"curl ": "curl", "client.sh": "curl", "openssl ": "openssl"} {
		if _, err := exec.LookPath(program); err != nil && strings.Contains(script, part) {
			t.Logf("SKIPPED: %s is not on this machine: of %s is not run:\n%s", program, page, script)
			return true
		}
	}
	return false
}

// place says where that is which pages leave open, or have elsewhere on a machine.
func (p prompt) place(t *testing.T, script string) string {
	t.Helper()
	var d demo
	data, err := os.ReadFile(filepath.Join(p.dir, "entra", "emulator.json"))
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "next-secret"), []byte(d.ClientSecret), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("https://127.0.0.1:…", d.AuthorityHost, "/run/new/secret", "./next-secret").Replace(script)
}

// furnish puts into a directory what lines expect to be where they are typed.
func furnish(t *testing.T, dir string) {
	t.Helper()
	copied := map[string]string{"examples/agent/client.sh": "client.sh"}
	modules, _ := filepath.Glob(filepath.Join(checkout, "*", "go.mod"))
	for _, path := range append(modules, filepath.Join(checkout, "cmd/apponly/go.mod")) {
		name, err := filepath.Rel(checkout, path)
		if err != nil {
			t.Fatal(err)
		}
		copied[name] = name
	}
	for from, to := range copied {
		data, err := os.ReadFile(filepath.Join(checkout, from))
		if err == nil {
			err = os.MkdirAll(filepath.Join(dir, filepath.Dir(to)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), data, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
