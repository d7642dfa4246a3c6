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
// while nobody listens there, as here. The emulated Entra is for the example:
// apponly.FromEnv needs neither Cloud nor HTTPClient in a pod.
func ExampleFromEnv() {
	entra := entratest.NewServer()
	defer entra.Close()
	defer setPodEnv()()

	store, keys, err := rediscache.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	cache := apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys})
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
		Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(), Cache: cache,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.Token(context.Background(), entra.API().Scope())
	fmt.Println(token.Value() != "", err)
	// Output: true <nil>
}

// setPodEnv sets what a manifest would, and returns what takes it back.
func setPodEnv() (reset func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	keyFile := filepath.Join(dir, "key")
	// As of: head -c 32 /dev/urandom | base64
	if err := os.WriteFile(keyFile, []byte("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	os.Setenv("APPONLY_REDIS_URL", "unix://"+filepath.Join(dir, "redis.sock"))
	os.Setenv("APPONLY_SHARED_KEY_FILE", keyFile)
	return func() {
		os.Unsetenv("APPONLY_REDIS_URL")
		os.Unsetenv("APPONLY_SHARED_KEY_FILE")
		os.RemoveAll(dir)
	}
}
