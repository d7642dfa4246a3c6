// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

// An agent in a program, and a program that it gives a token to. Entra is emulated: for the
// real one NewClients makes the clients, and Load reads the configuration.
func Example() {
	entra := entratest.NewServer()
	defer entra.Close()
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
		Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(),
	})
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	cfg := &agent.Config{
		Listen:     agent.Listen{TCP: "127.0.0.1:0"},
		HeaderFile: filepath.Join(dir, "identity-header"),
		Callers:    []agent.Caller{{Header: agent.DefaultHeader, Scopes: []string{entra.API().Scope()}}},
		Logger:     slog.New(slog.DiscardHandler),
	}
	a, err := agent.New(cfg, map[string]*apponly.Client{agent.DefaultApp: client})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan agent.Addresses, 1), make(chan error)
	go func() { ended <- a.Run(ctx, func(at agent.Addresses) { ready <- at }) }()
	at := <-ready

	// What an Azure SDK sends, with the variables IDENTITY_ENDPOINT and IDENTITY_HEADER.
	header, err := os.ReadFile(cfg.HeaderFile)
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, at.Endpoint+"?api-version=2019-08-01&resource="+entra.API().URI(), nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("X-IDENTITY-HEADER", strings.TrimSpace(string(header)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, len(body) > 1000)

	stop()
	fmt.Println(<-ended)
	// Output:
	// 200 OK true
	// <nil>
}
