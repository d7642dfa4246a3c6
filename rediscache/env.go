// SPDX-License-Identifier: MIT

package rediscache

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/apponly/apponly"
)

const (
	envURL     = "APPONLY_REDIS_URL"
	envKeyFile = "APPONLY_SHARED_KEY_FILE"
	envCAFile  = "APPONLY_REDIS_CA_FILE"
)

// FromEnv returns the store and the keys that the environment names, for
// [apponly.CacheOptions]:
//
//   - APPONLY_REDIS_URL is a URL as [Open] takes it;
//   - APPONLY_SHARED_KEY_FILE is the file of [apponly.SharedKeyFile];
//   - APPONLY_REDIS_CA_FILE, which may be missing, is [Options.CAFile].
//
// An empty variable counts as unset. The error names all that is missing, at once.
// FromEnv performs no I/O.
func FromEnv() (*Store, apponly.SharedKeys, error) {
	value := func(name string) string { return strings.TrimSpace(os.Getenv(name)) }
	var missing []string
	for _, name := range []string{envURL, envKeyFile} {
		if value(name) == "" {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return nil, apponly.SharedKeys{}, errors.New("rediscache: not set: " + strings.Join(missing, ", "))
	}
	store, err := Open(value(envURL), &Options{CAFile: value(envCAFile)})
	if err != nil {
		return nil, apponly.SharedKeys{}, fmt.Errorf("%s, %s: %w", envURL, envCAFile, err)
	}
	return store, apponly.SharedKeyFile(value(envKeyFile)), nil
}
