// SPDX-License-Identifier: MIT

// Package yamlfile reads configuration files: of each thing that is wrong it tells the
// line, the key, and what was probably meant, and all of them at once.
package yamlfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/apponly/apponly/internal/ident"
)

// MaxSize bounds a file: a thousand tenants of the emulator are a tenth of it.
const MaxSize = 1 << 20

// Read returns what is in a file of at most MaxSize.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return data, err
}

// Parse reads a file into the struct that dst points to; nothing of one that is broken
// so badly that no key can be relied on. Keys are told by tags, `file:"key"`, for a
// [Decoder] with its kind, `file:"key,kind"`, and with ",required" at the end.
func (e *Error) Parse(data []byte, dst any) {
	var docs []yaml.Node
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		if l, ok := errors.AsType[*yaml.LoadError](err); ok {
			e.Add(Place{Line: cmp.Or(l.Mark.Line, unreadableLine(data))}, "YAML: %s", l.Message)
		} else {
			e.Add(Place{}, "YAML: %v", err)
		}
		return
	}
	if len(docs) > 1 {
		e.Add(Place{Line: docs[1].Line}, "YAML: want one document, here is a second")
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

// A Decoder is a value that reads itself from a node.
type Decoder interface {
	DecodeNode(e *Error, n *yaml.Node, p Place, kind string)
}

// decode reads a node into dst: a decoder, a struct of tagged fields, a text, number or
// bool, or a list, a map or a pointer of those. The library's own decoding into structs
// reports the line of a fault but not its key, and loses the places of good values,
// which checks that compare two values need.
func (e *Error) decode(n *yaml.Node, p Place, kind string, dst reflect.Value) {
	if e.lines == nil {
		e.lines = make(map[string]int)
	}
	e.lines[p.Key] = p.Line
	if d, ok := dst.Addr().Interface().(Decoder); ok {
		d.DecodeNode(e, n, p, kind)
		return
	}
	switch dst.Kind() {
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		e.decode(n, p, kind, dst.Elem())
	case reflect.Struct:
		if place := dst.FieldByName("Place"); place.IsValid() {
			place.Set(reflect.ValueOf(p))
		}
		e.fields(n, p, dst)
	case reflect.Map:
		dst.Set(reflect.MakeMap(dst.Type()))
		e.keys(n, p, func(key string, v *yaml.Node, at Place) {
			value := reflect.New(dst.Type().Elem()).Elem()
			e.decode(v, at, kind, value)
			dst.SetMapIndex(reflect.ValueOf(key), value)
		})
	case reflect.Slice:
		if e.is(n, p, yaml.SequenceNode, "a list") {
			dst.Set(reflect.MakeSlice(dst.Type(), len(n.Content), len(n.Content)))
			for i, item := range n.Content {
				e.decode(item, Place{item.Line, fmt.Sprintf("%s[%d]", p.Key, i)}, kind, dst.Index(i))
			}
		}
	default:
		if v, ok := e.Scalar(n, p, plain[dst.Kind()]); ok {
			dst.Set(reflect.ValueOf(v))
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
			e.Add(at, "unknown key, %s", suggest(key, slices.Sorted(maps.Keys(fields))))
		}
	})
	for _, key := range required {
		if seen != nil && seen[key] == 0 {
			e.Add(p.Join(key), "is missing")
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
			e.Add(at, "a key is not a word")
		case seen[key.Value] > 0:
			e.Add(at.Join(key.Value), "is in line %d already", seen[key.Value])
		default:
			seen[key.Value] = key.Line
			read(key.Value, n.Content[i+1], at.Join(key.Value))
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
	if near := parent.SuggestionsFor(Clean(word)); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return "want one of " + strings.Join(keys, ", ")
}

// Clean makes what a file says fit for a line of an error.
func Clean(s string) string { return ident.OneLine(s, 63) }
