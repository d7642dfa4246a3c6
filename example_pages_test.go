// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
)

// What README.md and docs/guide.md show. The emulator answers by the names of the public
// cloud, so that they are the lines of a program.

// A daemon asks Microsoft Graph about its tenant.
func Example() {
	sts := entratest.NewServer()
	defer sts.Close()
	sts.SetCloud(cloud.Public)
	defer play(sts, "https://graph.microsoft.com", "Organization.Read.All")()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte(sts.Secret()), 0o600); err != nil {
		log.Fatal(err)
	}
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), &apponly.Options{HTTPClient: sts.HTTPClient()}

	client, err := apponly.New(tenantID, clientID, apponly.SecretFile(path), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	rt, err := apponly.NewTransport(client, "https://graph.microsoft.com/.default", nil)
	if err != nil {
		log.Fatal(err)
	}
	graph := &http.Client{Transport: rt} // each request goes out with a token
	resp, err := graph.Get("https://graph.microsoft.com/v1.0/organization")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 404 Not Found
}

// play has one of Microsoft's APIs answer what is sent by http.DefaultTransport: that
// there is nothing, to apps that have the role.
func play(sts *entratest.Server, uri, role string) (restore func()) {
	api := sts.Microsoft(uri)
	api.AddRoles(role)
	api.Grant(sts.Tenant(), sts.App(), role)
	was := http.DefaultTransport
	http.DefaultTransport = memhttp.New(api.Protect(http.NotFoundHandler(), role))
	return func() { http.DefaultTransport = was }
}

// A token by itself. It prints without its value.
func ExampleToken() {
	sts := entratest.NewServer()
	defer sts.Close()
	sts.SetCloud(cloud.Public)
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{HTTPClient: sts.HTTPClient()})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	token, err := client.Token(ctx, "https://graph.microsoft.com/.default")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("shown:", strings.Contains(fmt.Sprintf("%v %+v %#v", token, token, token), token.Value()))
	// Output: shown: false
}

// The hosts of many APIs of Azure are not those of their scopes.
func ExampleClient_HTTPClient() {
	sts := entratest.NewServer()
	defer sts.Close()
	sts.SetCloud(cloud.Public)
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{HTTPClient: sts.HTTPClient()})
	if err != nil {
		log.Fatal(err)
	}
	scope := "https://vault.azure.net/.default"
	defer play(sts, "https://vault.azure.net", "Secrets.Read")()

	httpClient, err := client.HTTPClient(scope, &apponly.TransportOptions{
		Hosts: []string{"*.vault.azure.net"},
	})
	if err != nil {
		log.Fatal(err)
	}
	resp, err := httpClient.Get("https://orders.vault.azure.net/secrets/none")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	_, err = httpClient.Get("https://elsewhere.example/")
	fmt.Println("refused elsewhere:", errors.Is(err, apponly.ErrConfiguration))
	// Output:
	// 404 Not Found
	// refused elsewhere: true
}
