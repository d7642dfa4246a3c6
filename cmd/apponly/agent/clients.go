// SPDX-License-Identifier: MIT

package agent

import (
	"errors"
	"fmt"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/filecache"
)

// NewCache returns the cache that [Config.Shared] asks for.
func NewCache(s Shared) (*apponly.Cache, error) {
	if s.Dir == "" {
		return apponly.NewCache(nil), nil
	}
	store, err := filecache.Open(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("shared.dir: %w", err)
	}
	keys, err := filecache.Key(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("shared.dir: %w", err)
	}
	return apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys}), nil
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
