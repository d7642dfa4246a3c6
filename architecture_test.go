// SPDX-License-Identifier: MIT

package apponly_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// layers are the files of the package from the bottom up. A file knows those of
// its own layer and those below it; see docs/architecture.md.
var layers = []string{
	"errors kind outside",
	"aadsts aadststext answer claims echo token event domain cache fading file hosts look shared",
	"cafile",
	"identitybinding",
	"material assertionclaims",
	"chain assertion msal",
	"credential reader reuse",
	"certificate federated rotation",
	"entra",
	"recovery lookup",
	"client options sharing source tenantid",
	"azurefault",
	"status warm azure transport",
	"clientassertion",
	"env envbinding envcredential",
	"inside",
	"doc",
}

// Nothing below knows what is above it.
func TestLayers(t *testing.T) {
	t.Parallel()
	layerOf := map[string]int{}
	for i, files := range layers {
		for name := range strings.FieldsSeq(files) {
			layerOf[name+".go"] = i
		}
	}
	fset := token.NewFileSet()
	var files []*ast.File
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if _, ok := layerOf[name]; !ok {
			t.Errorf("%s has no layer: give it the lowest it can have", name)
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", exportData(t))}
	pkg, err := conf.Check("github.com/apponly/apponly", fset, files, &info)
	if err != nil {
		t.Fatal(err)
	}
	reported := map[string]bool{}
	for ident, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() {
			continue
		}
		from, to := fset.Position(ident.Pos()).Filename, fset.Position(object.Pos()).Filename
		if edge := from + to + object.Name(); layerOf[from] < layerOf[to] && !reported[edge] {
			reported[edge] = true
			t.Errorf("%s refers to %s of %s, which is above it", from, object.Name(), to)
		}
	}
	if len(info.Uses) < 1000 {
		t.Errorf("only %d uses of names were seen", len(info.Uses))
	}
}

// exportData returns what the compiler knows of the packages that are imported.
func exportData(t *testing.T) func(path string) (io.ReadCloser, error) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(files[path])
	}
}
