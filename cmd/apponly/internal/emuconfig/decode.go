// SPDX-License-Identifier: MIT

package emuconfig

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/apponly/apponly/internal/ident"
)

// parse reads a file into dst; nothing of one that is broken so badly that no key
// can be relied on.
func (e *Error) parse(data []byte, dst any) {
	var docs []yaml.Node
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		if l, ok := errors.AsType[*yaml.LoadError](err); ok {
			e.add(Place{Line: cmp.Or(l.Mark.Line, unreadableLine(data))}, "YAML: %s", l.Message)
		} else {
			e.add(Place{}, "YAML: %v", err)
		}
		return
	}
	if len(docs) > 1 {
		e.add(Place{Line: docs[1].Line}, "YAML: want one document, here is a second")
	}
	if len(docs) > 0 && len(docs[0].Content) > 0 && !isNull(docs[0].Content[0]) {
		root := docs[0].Content[0]
		e.decode(root, Place{Line: root.Line}, "", reflect.ValueOf(dst).Elem())
	}
}

// unreadableLine is the line of the first byte that no YAML may hold, 0 if there
// is none. The library does not tell it.
func unreadableLine(data []byte) int {
	control := func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f }
	return 1 + slices.IndexFunc(bytes.Split(data, []byte{'\n'}), func(line []byte) bool {
		return !utf8.Valid(line) || bytes.ContainsFunc(line, control)
	})
}

// A decoder is a value that reads itself from a node: a scalar of a kind, or what
// is no list of fields.
type decoder interface {
	decode(e *Error, n *yaml.Node, p Place, kind string)
}

// decode reads a node into dst: a decoder, a struct of tagged fields, or a list or
// a pointer of those. The library's own decoding into structs reports the line of
// a fault but not its key, and loses the places of good values, which checks that
// compare two values need.
func (e *Error) decode(n *yaml.Node, p Place, kind string, dst reflect.Value) {
	d, ok := dst.Addr().Interface().(decoder)
	switch {
	case ok:
		d.decode(e, n, p, kind)
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		e.decode(n, p, kind, dst.Elem())
	case dst.Kind() == reflect.Struct:
		dst.FieldByName("Place").Set(reflect.ValueOf(p))
		e.fields(n, p, dst)
	case e.is(n, p, yaml.SequenceNode, "a list"):
		dst.Set(reflect.MakeSlice(dst.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			e.decode(item, Place{item.Line, fmt.Sprintf("%s[%d]", p.Key, i)}, kind, dst.Index(i))
		}
	}
}

// fields reads a mapping by the tags of a struct, `file:"key,kind,required"`.
func (e *Error) fields(n *yaml.Node, p Place, dst reflect.Value) {
	fields, required := make(map[string]func(*yaml.Node, Place)), []string{}
	for _, f := range reflect.VisibleFields(dst.Type()) {
		if key, options, _ := strings.Cut(f.Tag.Get("file"), ","); key != "" {
			kind, needed := strings.CutSuffix(options, ",required")
			if needed {
				required = append(required, key)
			}
			fields[key] = func(v *yaml.Node, at Place) { e.decode(v, at, kind, dst.FieldByIndex(f.Index)) }
		}
	}
	seen := e.keys(n, p, func(key string, v *yaml.Node, at Place) {
		if read := fields[key]; read != nil {
			read(v, at)
		} else {
			e.add(at, "unknown key, %s", suggest(key, slices.Sorted(maps.Keys(fields))))
		}
	})
	for _, key := range required {
		if seen != nil && seen[key] == 0 {
			e.add(p.join(key), "is missing")
		}
	}
}

// keys calls read for every key of a mapping, and returns their lines, nil if it
// is none.
func (e *Error) keys(n *yaml.Node, p Place, read func(key string, v *yaml.Node, at Place)) map[string]int {
	if !e.is(n, p, yaml.MappingNode, "a mapping of keys to values") {
		return nil
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := Place{key.Line, p.Key}
		switch {
		case key.Kind != yaml.ScalarNode:
			e.add(at, "a key is not a word")
		case seen[key.Value] > 0:
			e.add(at.join(key.Value), "is in line %d already", seen[key.Value])
		default:
			seen[key.Value] = key.Line
			read(key.Value, n.Content[i+1], at.join(key.Value))
		}
	}
	return seen
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

// is reports whether a node is of a kind, and adds a fault if not. A file of
// aliases can unfold to a thousand times its size, and nothing here is worth
// guarding against that.
func (e *Error) is(n *yaml.Node, p Place, kind yaml.Kind, want string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		e.add(p, "aliases are not supported: write it out")
	case isNull(n):
		e.add(p, "there is nothing: want %s", want)
	case n.Kind != kind:
		e.add(p, "want %s", want)
	default:
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// clean makes what a file says fit for a line of an error.
func clean(s string) string { return ident.OneLine(s, 63) }
