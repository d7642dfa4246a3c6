// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/filecache"
	"github.com/apponly/apponly/internal/ident"
)

// What a plugin of client-go is asked by and answers with; see
// https://kubernetes.io/docs/reference/config-api/client-authentication.v1.
const (
	execInfo    = "KUBERNETES_EXEC_INFO"
	execVersion = "client.authentication.k8s.io/v1"
	execKind    = "ExecCredential"
)

// checkExecInfo says what is wrong with what client-go asks for. Whoever tries the
// command by hand has no such variable.
func checkExecInfo(info string) error {
	if info == "" {
		return nil
	}
	var asked struct{ APIVersion, Kind string }
	if err := json.Unmarshal([]byte(info), &asked); err != nil {
		return errors.New(execInfo + " is not JSON")
	}
	if asked.APIVersion != execVersion || asked.Kind != execKind {
		return fmt.Errorf("%s asks for %q of %q: set apiVersion: %s for this user in the kubeconfig",
			execInfo, ident.OneLine(asked.Kind, 100), ident.OneLine(asked.APIVersion, 100), execVersion)
	}
	return nil
}

// earlier is how long before its end client-go is told that a token has ended: it asks
// for another one at that time, and a request takes a while.
const earlier = time.Minute

func execCredential(t apponly.Token) any {
	type status struct {
		ExpirationTimestamp time.Time `json:"expirationTimestamp"`
		Token               string    `json:"token"`
	}
	return struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     status `json:"status"`
	}{execVersion, execKind, status{t.ExpiresOn().Add(-earlier).UTC().Truncate(time.Second), t.Value()}}
}

// keptTokens returns a cache that keeps tokens for the next run of the same user. With
// an error it is one that does not.
func keptTokens() (*apponly.Cache, error) {
	without := apponly.NewCache(nil)
	dir, err := os.UserCacheDir()
	if err != nil {
		return without, err
	}
	dir = filepath.Join(dir, "apponly")
	store, err := filecache.Open(dir)
	if err != nil {
		return without, err
	}
	keys, err := filecache.Key(dir)
	if err != nil {
		return without, err
	}
	return apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys}), nil
}

const (
	// enough is how long a token is good for at least, if it is to be had.
	enough = 5 * time.Minute
	// refreshWait is how long a run waits for a better token than one that it has.
	refreshWait = 3 * time.Second
)

// keptToken returns a token that is kept, or a new one. A daemon is refreshed behind its
// callers; this process has ended by then, so that the run waits that finds a token
// past its refresh time.
func keptToken(ctx context.Context, cache *apponly.Cache, scope string) (apponly.Token, error) {
	client, err := apponly.FromEnv(&apponly.Options{Cache: cache})
	if err != nil {
		return apponly.Token{}, err
	}
	token, err := client.TokenFor(ctx, apponly.TokenRequest{Scope: scope, MinValid: enough})
	if err != nil || time.Now().Before(token.RefreshOn()) {
		return token, err
	}
	ctx, cancel := context.WithTimeout(ctx, refreshWait)
	defer cancel()
	better, err := client.TokenFor(ctx, apponly.TokenRequest{Scope: scope, MinValid: time.Until(token.ExpiresOn()) + time.Second})
	if err != nil {
		return token, nil
	}
	return better, nil
}
