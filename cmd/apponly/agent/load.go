// SPDX-License-Identifier: MIT

package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// A ConfigError is everything that is wrong with a configuration.
type ConfigError struct {
	File   string // "" if it was not read from one
	Faults []Fault
}

// A Fault is one thing that is wrong.
type Fault struct {
	Line int    // 0 without a file
	Key  string // "callers[0].scopes[1]"
	Text string
}

// Error returns one line for each fault, "file:line: key: text".
func (e *ConfigError) Error() string {
	var lines []string
	for _, f := range e.Faults {
		place := ""
		if e.File != "" {
			place = fmt.Sprintf("%s:%d: ", e.File, max(f.Line, 1))
		}
		if f.Key != "" {
			place += f.Key + ": "
		}
		lines = append(lines, place+f.Text)
	}
	return strings.Join(lines, "\n")
}

// Load reads a configuration from a YAML file. What is wrong with it is a
// [*ConfigError], all of it at once and with its lines; that the file cannot be read
// is another error.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}

// parse decodes a file, then checks what it says; the second needs the first.
func parse(path string, data []byte) (*Config, error) {
	var docs []yaml.Node
	var cfg Config
	err := yaml.Load(data, &docs, yaml.WithAllDocuments())
	if err == nil && len(docs) == 1 {
		err = yaml.Load(data, &cfg, yaml.WithKnownFields())
	}
	switch {
	case err != nil:
		return nil, &ConfigError{path, yamlFaults(err)}
	case len(docs) != 1:
		return nil, &ConfigError{path, []Fault{{Line: 1, Text: "YAML: want one document"}}}
	}
	err = cfg.check()
	if e, ok := errors.AsType[*ConfigError](err); ok {
		e.File = path
		for i := range e.Faults {
			e.Faults[i].Line = lineOf(&docs[0], e.Faults[i].Key)
		}
		slices.SortStableFunc(e.Faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	}
	if err != nil {
		return nil, err
	}
	return &cfg, nil
}

func yamlFaults(err error) []Fault {
	if all, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		var faults []Fault
		for _, e := range all.Errors {
			faults = append(faults, Fault{Line: e.Mark.Line, Text: yamlText(e.Message)})
		}
		return faults
	}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		return []Fault{{Line: e.Mark.Line, Text: "YAML: " + e.Message}}
	}
	return []Fault{{Text: "YAML: " + err.Error()}}
}

var (
	unknownKey = regexp.MustCompile(`^field (.*) not found in type `)
	wrongType  = regexp.MustCompile("(?s)^cannot construct .* into (.*)$")
)

// yamlText says what the library found without Go's types, and without the value: a
// secret may stand in the wrong place.
func yamlText(message string) string {
	if m := unknownKey.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("unknown key %.60q", m[1])
	}
	m := wrongType.FindStringSubmatch(message)
	if m == nil {
		return "YAML: " + message
	}
	switch m[1] {
	case "string":
		return "want text"
	case "bool":
		return "want true or false"
	case "int":
		return "want a whole number"
	case "[]int":
		return "want a list of whole numbers"
	case "[]string":
		return "want a list of texts"
	}
	if strings.HasPrefix(m[1], "[]") {
		return "want a list"
	}
	return "want a mapping of keys to values"
}

// lineOf finds the line of a key such as callers[0].scopes[1], of what is nearest to it
// if it is not there.
func lineOf(doc *yaml.Node, key string) int {
	n, line := doc, doc.Line
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for _, step := range strings.FieldsFunc(key, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next, at := childOf(n, step)
		if next == nil {
			break
		}
		n, line = next, at
	}
	return max(line, 1)
}

// childOf returns what is under a key or at an index, and its line.
func childOf(n *yaml.Node, step string) (*yaml.Node, int) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1], n.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return n.Content[i], n.Content[i].Line
		}
	}
	return nil, 0
}
