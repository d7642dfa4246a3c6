// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// The examples ask an emulated Entra instead of the real one: that is all that
// Options are for in them.

func ExampleNew() {
	sts := entratest.NewServer()
	defer sts.Close()
	sts.SetTokenLifetime(time.Hour)
	tenantID, clientID := sts.Tenant().ID(), sts.App().ClientID()

	client, err := apponly.New(tenantID, clientID, apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.Token(context.Background(), sts.API().Scope())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("good for", time.Until(token.ExpiresOn()).Round(time.Minute))
	// Output: good for 1h0m0s
}

// Ask for a token each time you need one, and keep none: the client does.
func ExampleClient_Token() {
	sts := entratest.NewServer()
	defer sts.Close()
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
	})
	if err != nil {
		log.Fatal(err)
	}

	for range 1000 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := client.Token(ctx, sts.API().Scope())
		cancel()
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("token requests:", sts.TokenRequests())
	// Output: token requests: 1
}

// An http.Client with this transport needs to know nothing of tokens.
func ExampleNewTransport() {
	sts := entratest.NewServer()
	defer sts.Close()
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
	})
	if err != nil {
		log.Fatal(err)
	}
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "got a token: ", r.Header.Get("Authorization") != "")
	}))
	defer api.Close()

	rt, err := apponly.NewTransport(client, sts.API().Scope(), &apponly.TransportOptions{
		Base:  api.Client().Transport,
		Hosts: []string{api.Listener.Addr().String()}, // the token goes nowhere else
	})
	if err != nil {
		log.Fatal(err)
	}
	httpClient := &http.Client{Transport: rt, Timeout: 10 * time.Second}

	resp, err := httpClient.Get(api.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", body)

	_, err = httpClient.Get("https://elsewhere.example/")
	fmt.Println("refused elsewhere:", errors.Is(err, apponly.ErrConfiguration))
	// Output:
	// got a token: true
	// refused elsewhere: true
}

// A kind says what to do about an error; its group is coarser.
func ExampleKind() {
	sts := entratest.NewServer()
	defer sts.Close()
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret("mistyped"), &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
	})
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.Token(context.Background(), sts.API().Scope())
	switch {
	case errors.Is(err, apponly.ErrSecretInvalid): // one kind
		fmt.Println("wrong secret")
	case errors.Is(err, apponly.ErrTransient): // a group: it passes by itself
		fmt.Println("try again later")
	}
	fmt.Println("a fault of the credential:", errors.Is(err, apponly.ErrCredential))

	if e, ok := errors.AsType[*apponly.Error](err); ok {
		fmt.Println("AADSTS number:", e.Code)
		fmt.Println(e.Kind.Remedy())
	}
	// Output:
	// wrong secret
	// a fault of the credential: true
	// AADSTS number: 7000215
	// Deploy the secret's value, not its ID; look for a trailing newline or an encoding; check that client ID and tenant belong together.
}

// A token that somebody else issued stands in for a secret: here one that a
// Kubernetes cluster writes to a file and renews there.
func ExampleFederated() {
	sts := entratest.NewServer()
	defer sts.Close()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "azure-identity-token")
	if err := os.WriteFile(path, []byte(sts.FederatedToken()), 0o600); err != nil {
		log.Fatal(err)
	}

	cred := apponly.Federated(apponly.AssertionFile(path))
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), cred, &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Token(context.Background(), sts.API().Scope()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed in by", sts.Requests()[0].AuthMethod, "credential")
	// Output: signed in by federated credential
}

// One app serves the tenants of many customers, each with tokens of its own.
func ExampleClient_Tenant() {
	sts := entratest.NewServer()
	defer sts.Close()
	customer := sts.AddTenant("contoso.example")
	customer.Install(sts.App())
	customer.Provide(sts.API())

	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		AllowedTenants: []string{"contoso.example"},
		Cloud:          sts.Cloud(),
		HTTPClient:     sts.HTTPClient(),
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, tenant := range []string{"contoso.example", "fabrikam.example"} {
		view, err := client.Tenant(tenant)
		if errors.Is(err, apponly.ErrTenantNotAllowed) {
			fmt.Println(tenant, "is no customer")
			continue
		} else if err != nil {
			log.Fatal(err)
		}
		if _, err := view.Token(context.Background(), sts.API().Scope()); err != nil {
			log.Fatal(err)
		}
		fmt.Println(view.TenantID(), "gave a token")
	}
	// Output:
	// contoso.example gave a token
	// fabrikam.example is no customer
}
