// SPDX-License-Identifier: MIT

package agent

import "github.com/apponly/apponly/cmd/apponly/internal/yamlfile"

// A ConfigError is everything that is wrong with a configuration: Faults of Line, 0 if
// it was not read from File, Key, such as "callers[0].scopes[1]", and Text.
type ConfigError = yamlfile.Error

// Load reads a configuration from a YAML file. What is wrong with it is a
// [*ConfigError], all of it at once and with its lines; that the file cannot be read
// is another error.
func Load(path string) (*Config, error) {
	data, err := yamlfile.Read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}

// parse decodes a file, then checks what it says; the second needs the first.
func parse(path string, data []byte) (*Config, error) {
	e, cfg := &ConfigError{File: path}, &Config{}
	if e.Parse(data, cfg); len(e.Faults) == 0 {
		cfg.faults(e)
	}
	if err := e.OrNil(); err != nil {
		return nil, err
	}
	return cfg, nil
}
