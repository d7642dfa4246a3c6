// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/apponly/apponly"
)

// An app is what all four libraries are told.
type app struct{ authority, tenantID, clientID, secret, scope string }

func (a app) withAzidentity(ctx context.Context, httpClient *http.Client) (string, error) {
	cred, err := azidentity.NewClientSecretCredential(a.tenantID, a.clientID, a.secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            azcore.ClientOptions{Cloud: azcloud.Configuration{ActiveDirectoryAuthorityHost: a.authority}, Transport: httpClient},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		return "", err
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{a.scope}})
	return token.Token, err
}

func (a app) withMSAL(ctx context.Context, httpClient *http.Client) (string, error) {
	cred, err := confidential.NewCredFromSecret(a.secret)
	if err != nil {
		return "", err
	}
	client, err := confidential.New(a.authority+"/"+a.tenantID, a.clientID, cred,
		confidential.WithHTTPClient(httpClient), confidential.WithInstanceDiscovery(false))
	if err != nil {
		return "", err
	}
	token, err := client.AcquireTokenByCredential(ctx, []string{a.scope})
	return token.AccessToken, err
}

func (a app) withOAuth2(ctx context.Context, httpClient *http.Client) (string, error) {
	config := clientcredentials.Config{
		ClientID: a.clientID, ClientSecret: a.secret, AuthStyle: oauth2.AuthStyleInParams,
		TokenURL: a.authority + "/" + a.tenantID + "/oauth2/v2.0/token",
		Scopes:   []string{a.scope},
	}
	token, err := config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, httpClient)).Token()
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func (a app) withApponly(ctx context.Context, opts *apponly.Options) (string, error) {
	client, err := apponly.New(a.tenantID, a.clientID, apponly.Secret(a.secret), opts)
	if err != nil {
		return "", err
	}
	token, err := client.Token(ctx, a.scope)
	return token.Value(), err
}

// One app, four libraries.
func Example_migrateTokens() {
	sts, _ := emulated()
	defer sts.Close()
	ctx, httpClient := context.Background(), sts.HTTPClient()
	a := app{sts.Cloud().Authority(), sts.Tenant().ID(), sts.App().ClientID(), sts.Secret(), sts.API().Scope()}
	for _, get := range []func() (string, error){
		func() (string, error) { return a.withAzidentity(ctx, httpClient) },
		func() (string, error) { return a.withMSAL(ctx, httpClient) },
		func() (string, error) { return a.withOAuth2(ctx, httpClient) },
		func() (string, error) {
			return a.withApponly(ctx, &apponly.Options{Cloud: sts.Cloud(), HTTPClient: httpClient})
		},
	} {
		token, err := get()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token != "")
	}
	fmt.Println(sts.Counters().Endpoints["token"], "token requests")
	// Output:
	// true
	// true
	// true
	// true
	// 4 token requests
}
