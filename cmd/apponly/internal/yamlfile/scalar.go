// SPDX-License-Identifier: MIT

package yamlfile

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Kind reads a single value. Its error says what is wanted and not what is there:
// a secret may stand in the wrong place.
type Kind func(*yaml.Node) (any, error)

// Want makes a kind of a reader that says whether it could.
func Want(what string, read func(*yaml.Node) (any, bool)) Kind {
	return func(n *yaml.Node) (any, error) {
		if v, ok := read(n); ok {
			return v, nil
		}
		return nil, errors.New("want " + what)
	}
}

// The kinds that every file has.
var (
	Text = Want("text that is not empty, in quotes if it looks like something else", func(n *yaml.Node) (any, bool) {
		return n.Value, n.Value != "" && (n.ShortTag() == "!!str" || n.ShortTag() == "!!timestamp")
	})
	Bool = Want("true or false", func(n *yaml.Node) (any, bool) {
		v, err := strconv.ParseBool(strings.ToLower(n.Value))
		return v, err == nil && n.ShortTag() == "!!bool"
	})
	Int = Want("a whole number", func(n *yaml.Node) (any, bool) {
		v, err := strconv.Atoi(n.Value)
		return v, err == nil && n.ShortTag() == "!!int"
	})
)

var plain = map[reflect.Kind]Kind{reflect.String: Text, reflect.Bool: Bool, reflect.Int: Int}

// Scalar reads a single value of a kind, or adds a fault.
func (e *Error) Scalar(n *yaml.Node, p Place, kind Kind) (v any, ok bool) {
	if !e.is(n, p, yaml.ScalarNode, "a single value") {
		return nil, false
	}
	v, err := kind(n)
	if err != nil {
		e.Add(p, "%v", err)
	}
	return v, err == nil
}

// is reports whether a node is of a kind, and adds a fault if not. A file of
// aliases can unfold to a thousand times its size, and nothing here is worth
// guarding against that.
func (e *Error) is(n *yaml.Node, p Place, kind yaml.Kind, want string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		e.Add(p, "aliases are not supported: write it out")
	case isNull(n):
		e.Add(p, "there is nothing: want %s", want)
	case n.Kind != kind:
		e.Add(p, "want %s", want)
	default:
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
