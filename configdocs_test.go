// SPDX-License-Identifier: MIT

package apponly_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const configurationManual = "docs/configuration.md"

// Every variable that the code reads and every field of its options is in the manual,
// and nothing else.
func TestConfigurationManual(t *testing.T) {
	variables, options := configuration(t)
	manual := readText(t, configurationManual)
	compareNames(t, "variable", variables, rowsOf(manual, regexp.MustCompile("(?m)^\\| `([A-Z][A-Z0-9_]+)`")))
	compareNames(t, "option", options, rowsOf(manual, regexp.MustCompile("(?m)^\\| `((?:\\w+\\.)?\\w*(?:Options|Config)\\.\\w+)`")))
	if len(variables) < 30 || len(options) < 40 {
		t.Errorf("%d variables and %d options in the code", len(variables), len(options))
	}
}

func rowsOf(manual string, row *regexp.Regexp) map[string]bool {
	found := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(manual, -1) {
		found[m[1]] = true
	}
	return found
}

func compareNames(t *testing.T, what string, code, manual map[string]bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(code)) {
		if !manual[name] {
			t.Errorf("%s has no row for the %s %s", configurationManual, what, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(manual)) {
		if !code[name] {
			t.Errorf("%s has a row for %s, which is no %s of the code", configurationManual, name, what)
		}
	}
}

// notProduct are directories and files whose variables and options are those of tests and
// examples, or what the emulator and the agent have programs of others read: their own
// manuals have those.
var notProduct = []string{
	"bench", "examples", "recipes", "entratest", "testdata", "ops", "compat", "emuconfig", "agent", "node_modules", ".git",
	"foreign.go", "agentenv.go",
}

// configuration returns the names of the variables in the code, which are literals by
// themselves, and the fields of its options, with their package but for the root's.
func configuration(t *testing.T) (variables, options map[string]bool) {
	t.Helper()
	variables = map[string]bool{"HTTPS_PROXY": true, "NO_PROXY": true, "SSL_CERT_FILE": true} // the standard library's
	options = map[string]bool{}
	name := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(notProduct, d.Name()):
			return filepath.SkipDir
		case slices.Contains(notProduct, d.Name()), d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		internal := strings.Contains(path, "internal") || file.Name.Name == "main"
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && name.MatchString(text) && !strings.HasPrefix(text, "ABC") {
					variables[text] = true
				}
			case *ast.TypeSpec:
				if !internal {
					addFields(options, file.Name.Name, n)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return variables, options
}

// addFields adds the exported fields of a struct of options.
func addFields(options map[string]bool, pkg string, spec *ast.TypeSpec) {
	fields, isStruct := spec.Type.(*ast.StructType)
	if !isStruct || !spec.Name.IsExported() || !strings.HasSuffix(spec.Name.Name, "Options") && !strings.HasSuffix(spec.Name.Name, "Config") {
		return
	}
	prefix := spec.Name.Name + "."
	if pkg != "apponly" {
		prefix = pkg + "." + prefix
	}
	for _, f := range fields.Fields.List {
		for _, name := range f.Names {
			if name.IsExported() {
				options[prefix+name.Name] = true
			}
		}
	}
}
