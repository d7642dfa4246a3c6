// SPDX-License-Identifier: MIT

package spiffeassertion_test

import (
	"context"
	"fmt"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/spiffeassertion"
)

// A workload with a SPIFFE identity gets tokens of Entra. The example asks an
// emulated Entra and a fake agent: a program gets its source from
// workloadapi.NewJWTSource and needs no Options.
func Example() {
	entra := entratest.NewServer()
	defer entra.Close()
	entra.App().AddFederatedCredential(entratest.FederatedCredential{
		Issuer: issuerURL, Subject: workerID, Audience: entra.Cloud().ExchangeAudience(),
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	source, stop, err := newAgent(entra).serve(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	src := spiffeassertion.New(source, nil)
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Federated(src), &apponly.Options{
		Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Token(ctx, entra.API().Scope()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("a token for", workerID)
	// Output: a token for spiffe://example.org/ns/prod/sa/worker
}
