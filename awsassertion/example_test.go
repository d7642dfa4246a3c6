// SPDX-License-Identifier: MIT

package awsassertion_test

import (
	"context"
	"fmt"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/awsassertion"
	"github.com/apponly/apponly/entratest"
)

// A role of AWS gets tokens of Entra. The example asks an emulated Entra and a
// fake STS: a program takes cfg from config.LoadDefaultConfig and needs no Options.
func Example() {
	entra := entratest.NewServer()
	defer entra.Close()
	sts := &fakeSTS{issuer: entra.NewIssuer(issuerURL)}
	entra.App().AddFederatedCredential(entratest.FederatedCredential{
		Issuer: issuerURL, Subject: roleARN, Audience: entra.Cloud().ExchangeAudience(),
	})
	cfg := sts.config()

	src := awsassertion.New(cfg, nil)
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Federated(src), &apponly.Options{
		Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Token(context.Background(), entra.API().Scope()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("a token for", roleARN)
	// Output: a token for arn:aws:iam::111122223333:role/worker
}
