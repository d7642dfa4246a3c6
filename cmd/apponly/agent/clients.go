// SPDX-License-Identifier: MIT

package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/filecache"
	"github.com/apponly/apponly/rediscache"
)

// NewCache returns the cache that [Config.Shared] asks for. It reads the file with the
// URL, and does not connect.
func NewCache(s Shared) (*apponly.Cache, error) {
	var store apponly.SharedStore
	var keys apponly.SharedKeys
	var err error
	switch {
	case s.Dir != "":
		if store, err = filecache.Open(s.Dir); err == nil {
			keys, err = filecache.Key(s.Dir)
		}
	case s.RedisURLFile != "":
		store, err = openRedis(s)
		keys = apponly.SharedKeyFile(s.KeyFile)
	default:
		return apponly.NewCache(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("shared: %w", err)
	}
	return apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys}), nil
}

// maxURL bounds the file with a URL.
const maxURL = 4 << 10

// openRedis returns the store whose URL, which may have a password in it, is in a file.
func openRedis(s Shared) (apponly.SharedStore, error) {
	f, err := os.Open(s.RedisURLFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	url, err := io.ReadAll(io.LimitReader(f, maxURL))
	if err != nil {
		return nil, err
	}
	return rediscache.Open(strings.TrimSpace(string(url)), &rediscache.Options{CAFile: s.RedisCAFile})
}

// NewClients returns the clients of the apps of a configuration, by their names. Those
// made with the same cache share its tokens, so that a configuration that is read again
// finds them there. The errors name their apps and are joined.
func NewClients(cfg *Config, cache *apponly.Cache) (map[string]*apponly.Client, error) {
	clients := map[string]*apponly.Client{}
	var errs []error
	for name, app := range cfg.apps() {
		c, err := app.client(&apponly.Options{Cache: cache, Logger: cfg.Logger, AllowedTenants: app.AllowedTenants, CAFile: app.CAFile})
		if err != nil {
			errs = append(errs, fmt.Errorf("apps.%s: %w", name, err))
		}
		clients[name] = c
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return clients, nil
}

func (a App) client(opts *apponly.Options) (*apponly.Client, error) {
	if a.Authority != "" {
		opts.Cloud = cloud.Custom(a.Authority)
	}
	switch {
	case a.From == "env":
		return apponly.FromEnv(opts)
	case a.SecretFile != "":
		return apponly.New(a.Tenant, a.ClientID, apponly.SecretFile(a.SecretFile), opts)
	case a.Certificate != "":
		return apponly.New(a.Tenant, a.ClientID, apponly.CertificateFile(a.Certificate, nil), opts)
	}
	return apponly.New(a.Tenant, a.ClientID, apponly.Federated(apponly.AssertionFile(a.FederatedTokenFile)), opts)
}
