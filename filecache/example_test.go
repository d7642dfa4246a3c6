// SPDX-License-Identifier: MIT

package filecache_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/filecache"
)

// A command that runs three times asks once. The emulated Entra is for the example: a
// program leaves Cloud and HTTPClient out, and takes a directory below os.UserCacheDir.
func Example() {
	entra := entratest.NewServer()
	defer entra.Close()
	tmp, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	dir := filepath.Join(tmp, "tokens")

	command := func() error {
		store, err := filecache.Open(dir) // made if need be; yours alone
		if err != nil {
			return err
		}
		keys, err := filecache.Key(dir) // a key in it, made once
		if err != nil {
			return err
		}
		client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
			Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(),
			Cache: apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys}),
		})
		if err != nil {
			return err
		}
		_, err = client.Token(context.Background(), entra.API().Scope())
		return err
	}
	for range 3 {
		if err := command(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("token requests:", entra.TokenRequests())
	// Output: token requests: 1
}
