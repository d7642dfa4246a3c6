// SPDX-License-Identifier: MIT

package apponly_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPagesShowCodeThatRuns looks for each snippet of Go in what an Example, an example
// program or a test runs. The compiler sees those; nobody sees a snippet.
func TestPagesShowCodeThatRuns(t *testing.T) {
	t.Parallel()
	code := codeThatRuns(t)
	snippets := 0
	for _, page := range pagesOf(t) {
		text := readText(t, page)
		for _, m := range openFence.FindAllStringSubmatch(text, -1) {
			if !slices.Contains([]string{"", "go", "sh", "json", "yaml"}, m[1]) {
				t.Errorf("%s has a block of %q, which no test looks at", page, m[1])
			}
		}
		for _, snippet := range fences(text, "go") {
			snippets++
			if !strings.Contains(code, singleSpaced(snippet)) {
				t.Errorf("%s shows code that is nowhere run:\n%s", page, snippet)
			}
		}
	}
	if snippets < 40 {
		t.Errorf("%d snippets", snippets)
	}
}

var openFence = regexp.MustCompile("(?m)^ *```+ *(\\S*)")

// fences returns the blocks of a language in a page, those in lists as well.
func fences(page, language string) (blocks []string) {
	fence := regexp.MustCompile("(?ms)^ *```" + language + "\n(.*?)^ *```$")
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// singleSpaced returns a text's lines without indentation, alignment and empty lines.
func singleSpaced(text string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 {
			b.WriteString(strings.Join(words, " ") + "\n")
		}
	}
	return b.String()
}

// codeThatRuns returns the functions that are run, with their comments, a file of tests or
// an example program at a time.
func codeThatRuns(t *testing.T) string {
	t.Helper()
	places := map[string]*place{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		case !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "examples"):
			return nil
		}
		dir := filepath.Dir(path)
		if places[dir] == nil {
			places[dir] = &place{functions: map[string][]function{}, seen: map[string]bool{}}
		}
		return places[dir].read(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range places {
		for _, name := range p.roots {
			p.run(name, &b)
		}
	}
	return b.String()
}

// A place is the functions of a directory.
type place struct {
	functions map[string][]function // by name
	roots     []string              // those that go test and go run call
	seen      map[string]bool
}

type function struct {
	decl *ast.FuncDecl
	text string
}

// read adds the functions of a file.
func (p *place) read(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if strings.HasSuffix(path, "_test.go") {
		for _, example := range doc.Examples(file) {
			if example.Output != "" || example.EmptyOutput {
				p.roots = append(p.roots, "Example"+example.Name)
			}
		}
	}
	for _, d := range file.Decls {
		decl, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name, start := decl.Name.Name, decl.Pos()
		if decl.Doc != nil {
			start = decl.Doc.Pos()
		}
		offset := func(at token.Pos) int { return files.Position(at).Offset }
		p.functions[name] = append(p.functions[name], function{decl, string(text[offset(start):offset(decl.End())])})
		if strings.HasPrefix(name, "Test") || file.Name.Name == "main" && name == "main" {
			p.roots = append(p.roots, name)
		}
	}
	return nil
}

// run writes the functions of a name, and of the names in them.
func (p *place) run(name string, b *strings.Builder) {
	if p.seen[name] {
		return
	}
	p.seen[name] = true
	for _, f := range p.functions[name] {
		b.WriteString(singleSpaced(f.text))
		ast.Inspect(f.decl, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				p.run(id.Name, b)
			}
			return true
		})
	}
}
