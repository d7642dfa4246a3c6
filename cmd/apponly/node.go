// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A node is a YAML value with its place and the list of what is wrong so far.
// The library's own decoding into structs stops short of what is wanted here:
// the key of each fault beside its line, and the places of the good values, for
// checks that compare them.
type node struct {
	at
	n    *yaml.Node
	errs *configErrors
}

// parseYAML returns the root of a file, false if there is none: the file is
// empty, or so broken that there is no telling what it means.
func parseYAML(data []byte, errs *configErrors) (node, bool) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil { // of options, of which there are none
		panic(err)
	}
	var doc, more yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return node{}, false
	case err != nil:
		errs.syntax(err, data)
		return node{}, false
	}
	switch err := loader.Load(&more); {
	case err == nil:
		errs.add(at{line: more.Line}, "YAML: want one document, here is a second")
	case !errors.Is(err, io.EOF):
		errs.syntax(err, data)
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return node{}, false
	}
	root := doc.Content[0]
	return node{at{root.Line, ""}, root, errs}, true
}

func (e *configErrors) syntax(err error, data []byte) {
	if l, ok := errors.AsType[*yaml.LoadError](err); ok {
		e.add(at{line: cmp.Or(l.Mark.Line, unreadableLine(data))}, "YAML: %s", l.Message)
		return
	}
	if l, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		for _, err := range l.Errors {
			e.add(at{line: err.Mark.Line}, "YAML: %s", err.Message)
		}
		return
	}
	e.add(at{}, "YAML: %v", err)
}

// unreadableLine is where the first byte is that no YAML may hold, of which the
// library does not say the place.
func unreadableLine(data []byte) int {
	line := 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 || r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f {
			break
		}
		if r == '\n' {
			line++
		}
		data = data[size:]
	}
	return line
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
		child := node{at{key.Line, v.join(key.Value)}, val, v.errs}
		switch read := f[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			v.errs.add(at{key.Line, v.key}, "a key is not a word")
		case read == nil:
			v.errs.add(child.at, "unknown key%s", didYouMean(key.Value, slices.Sorted(maps.Keys(f))))
		case seen[key.Value] > 0:
			v.errs.add(child.at, "is in line %d already", seen[key.Value])
		default:
			seen[key.Value] = key.Line
			read(child)
		}
	}
	for _, name := range required {
		if seen[name] == 0 {
			v.errs.add(at{v.line, v.join(name)}, "is missing")
		}
	}
}

// A plain value is one as JSON has it, with its place and as it was written.
type plain struct {
	at
	v    any
	text string
}

// plain reads a mapping of scalars whose keys somebody else knows.
func (v node) plain() map[string]plain {
	values := make(map[string]plain)
	if v.n.Kind != yaml.MappingNode {
		v.object(nil) // which says so
		return values
	}
	all := make(fields)
	for i := 0; i < len(v.n.Content); i += 2 {
		key := v.n.Content[i].Value
		all[key] = func(child node) {
			value := plain{at: child.at, text: child.n.Value}
			if !child.is(yaml.ScalarNode, "a single value") {
				return
			}
			err := child.n.Decode(&value.v)
			if child.n.ShortTag() == "!!timestamp" {
				value.v = value.text
			}
			if err == nil {
				_, err = json.Marshal(value.v) // as it cannot be for .nan
			}
			if err != nil { // which may hold the value, and that a secret
				v.errs.add(child.at, "want text, a number, true or false")
				return
			}
			values[key] = value
		}
	}
	v.object(all)
	return values
}

// toJSON is the JSON of values by key.
func toJSON(values map[string]plain) []byte {
	all := make(map[string]any, len(values))
	for key, value := range values {
		all[key] = value.v
	}
	data, err := json.Marshal(all)
	if err != nil { // each of them can be
		panic(err)
	}
	return data
}

// items reads a sequence.
func (v node) items(each func(node)) {
	if !v.is(yaml.SequenceNode, "a list") {
		return
	}
	for i, item := range v.n.Content {
		each(node{at{item.Line, fmt.Sprintf("%s[%d]", v.key, i)}, item, v.errs})
	}
}

func (v node) is(kind yaml.Kind, want string) bool {
	switch {
	case v.n.Kind == yaml.AliasNode:
		// Nothing here is worth the care that files which unfold to a thousand
		// times their size need.
		v.errs.add(v.at, "aliases are not supported: write it out")
		return false
	case isNull(v.n):
		v.errs.add(v.at, "there is nothing: want %s", want)
		return false
	case v.n.Kind != kind:
		v.errs.add(v.at, "want %s", want)
		return false
	}
	return true
}

func (v node) join(key string) string {
	key = clean(key)
	if v.key == "" {
		return key
	}
	return v.key + "." + key
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// clean makes what a file says fit for a line of an error.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
