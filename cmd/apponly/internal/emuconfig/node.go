// SPDX-License-Identifier: MIT

package emuconfig

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/apponly/apponly/internal/ident"
)

// A node is a YAML value with its place, and the list of what is wrong so far.
// The library's own decoding into structs reports the line of a fault but not its
// key, and loses the places of good values, which checks that compare two values
// need. The zero node is a value that is not there.
type node struct {
	Place
	n    *yaml.Node
	errs *Error
}

// parseYAML returns the root of a file: the zero node if the file is empty, or
// broken so badly that no key can be relied on.
func parseYAML(data []byte, errs *Error) node {
	var docs []yaml.Node
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		errs.syntax(err, data)
		return node{}
	}
	if len(docs) > 1 {
		errs.add(Place{Line: docs[1].Line}, "YAML: want one document, here is a second")
	}
	if len(docs) == 0 || len(docs[0].Content) == 0 || isNull(docs[0].Content[0]) {
		return node{}
	}
	root := docs[0].Content[0]
	return node{Place{root.Line, ""}, root, errs}
}

func (e *Error) syntax(err error, data []byte) {
	if l, ok := errors.AsType[*yaml.LoadError](err); ok {
		e.add(Place{Line: cmp.Or(l.Mark.Line, unreadableLine(data))}, "YAML: %s", l.Message)
		return
	}
	e.add(Place{}, "YAML: %v", err)
}

// unreadableLine is the line of the first byte that no YAML may hold, 0 if there
// is none. The library does not tell it.
func unreadableLine(data []byte) int {
	control := func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f }
	return 1 + slices.IndexFunc(bytes.Split(data, []byte{'\n'}), func(line []byte) bool {
		return !utf8.Valid(line) || bytes.ContainsFunc(line, control)
	})
}

// fields says what to do with each key of a mapping.
type fields map[string]func(node)

// object reads a mapping. Of required keys all must be there.
func (v node) object(f fields, required ...string) {
	if !v.is(yaml.MappingNode, "a mapping of keys to values") {
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(v.n.Content); i += 2 {
		key, val := v.n.Content[i], v.n.Content[i+1]
		child := node{Place{key.Line, v.join(key.Value)}, val, v.errs}
		switch read := f[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			v.errs.add(Place{key.Line, v.Key}, "a key is not a word")
		case read == nil:
			v.errs.add(child.Place, "unknown key, %s", suggest(key.Value, slices.Sorted(maps.Keys(f))))
		case seen[key.Value] > 0:
			v.errs.add(child.Place, "is in line %d already", seen[key.Value])
		default:
			seen[key.Value] = key.Line
			read(child)
		}
	}
	for _, name := range required {
		if seen[name] == 0 {
			v.errs.add(Place{v.Line, v.join(name)}, "is missing")
		}
	}
}

// suggest names what a misspelt key was probably meant to be. Cobra, which does
// so for commands, is asked as if the keys were commands.
func suggest(word string, keys []string) string {
	parent := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, key := range keys {
		parent.AddCommand(&cobra.Command{Use: key, Run: func(*cobra.Command, []string) {}})
	}
	if near := parent.SuggestionsFor(clean(word)); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return "want one of " + strings.Join(keys, ", ")
}

// later keeps a value, to be read when the rest of its mapping is.
func later(dst *node) func(node) { return func(v node) { *dst = v } }

// items reads a sequence.
func (v node) items(each func(node)) {
	if v.n == nil || !v.is(yaml.SequenceNode, "a list") {
		return
	}
	for i, item := range v.n.Content {
		each(node{Place{item.Line, fmt.Sprintf("%s[%d]", v.Key, i)}, item, v.errs})
	}
}

// anyKeys reads a mapping of scalars with whatever keys it has.
func (v node) anyKeys(parse func(key string, n *yaml.Node) (any, error)) map[string]scalar[any] {
	values, all := make(map[string]scalar[any]), make(fields)
	for i := 0; v.n.Kind == yaml.MappingNode && i < len(v.n.Content); i += 2 {
		key := v.n.Content[i].Value
		all[key] = func(child node) {
			var value scalar[any]
			into(&value, func(n *yaml.Node) (any, error) { return parse(key, n) })(child)
			if value.good {
				values[key] = value
			}
		}
	}
	v.object(all)
	return values
}

// is reports whether v is of a kind, and adds a fault if not.
func (v node) is(kind yaml.Kind, want string) bool {
	switch {
	case v.n.Kind == yaml.AliasNode:
		// A file of aliases can unfold to a thousand times its size, and nothing
		// here is worth guarding against that.
		v.errs.add(v.Place, "aliases are not supported: write it out")
	case isNull(v.n):
		v.errs.add(v.Place, "there is nothing: want %s", want)
	case v.n.Kind != kind:
		v.errs.add(v.Place, "want %s", want)
	default:
		return true
	}
	return false
}

func (v node) join(key string) string {
	key = clean(key)
	if v.Key == "" {
		return key
	}
	return v.Key + "." + key
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// clean makes what a file says fit for a line of an error.
func clean(s string) string { return ident.OneLine(s, 63) }
