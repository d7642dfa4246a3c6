// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"fmt"
	"log"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// A client is a credential for any Azure SDK client, here of Key Vault, which
// says by itself which scope and tenant it wants a token for. Tokens come from
// the client's cache.
//
// With CAE Entra may revoke a token early. The vault then answers with a claims
// challenge, which the SDK client hands on as it gets the next token.
func Example_azureSDK() {
	sts := entratest.NewServer()
	defer sts.Close()
	vault := newVault(sts) // challenges the first token it sees
	defer vault.Close()

	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: sts.HTTPClient(),
		CAE:        true, // Azure SDK clients answer claims challenges
	})
	if err != nil {
		log.Fatal(err)
	}

	secrets, err := azsecrets.NewClient(vault.url, client.TokenCredential(), &azsecrets.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: vault.Client()}, // for the fake vault only
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		secret, err := secrets.GetSecret(context.Background(), "greeting", "", nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(*secret.Value)
	}
	fmt.Println("claims challenges:", vault.challenges.Load(), "token requests:", sts.TokenRequests())
	// Output:
	// hello
	// hello
	// claims challenges: 1 token requests: 2
}
