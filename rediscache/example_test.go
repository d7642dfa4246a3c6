// SPDX-License-Identifier: MIT

package rediscache_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/rediscache"
)

// A pod shares its tokens by the server that APPONLY_REDIS_URL names. It gets one, too,
// while nobody listens there, as here. Entra is emulated, and the environment says where
// it is: in a pod workload identity does.
func ExampleFromEnv() {
	entra := entratest.NewServer()
	defer entra.Close()
	defer setPodEnv(entra)()

	store, keys, err := rediscache.FromEnv() // performs no I/O
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	cache := apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys})
	client, err := apponly.FromEnv(&apponly.Options{Cache: cache})
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.Token(context.Background(), entra.API().Scope())
	fmt.Println(token.Value() != "", err)
	// Output: true <nil>
}

// setPodEnv sets what a manifest would, and returns what takes it back.
func setPodEnv(entra *entratest.Server) (reset func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	authority, _ := entra.StartTLS()
	in := func(name string, content []byte) (path string) {
		path = filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			log.Fatal(err)
		}
		return path
	}
	vars := map[string]string{
		"APPONLY_REDIS_URL": "unix://" + filepath.Join(dir, "redis.sock"),
		// As of: head -c 32 /dev/urandom | base64
		"APPONLY_SHARED_KEY_FILE":      in("key", []byte("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=\n")),
		"AZURE_TENANT_ID":              entra.Tenant().ID(),
		"AZURE_CLIENT_ID":              entra.App().ClientID(),
		"AZURE_FEDERATED_TOKEN_FILE":   in("token", []byte(entra.FederatedToken())),
		"AZURE_AUTHORITY_HOST":         authority,
		"APPONLY_TRUST_AUTHORITY_HOST": "1",
		"APPONLY_CA_FILE":              in("ca.pem", entra.CAPEM()),
	}
	for name, value := range vars {
		os.Setenv(name, value)
	}
	return func() {
		for name := range vars {
			os.Unsetenv(name)
		}
		os.RemoveAll(dir)
	}
}
