// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// The emulator plays the platform as well as Entra: that is what the variables are set
// for, and the federated credential is what an administrator registers.

// emulated returns Options for an emulated Entra. The real one needs none.
func emulated(sts *entratest.Server) *apponly.Options {
	return &apponly.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()}
}

// setenv sets variables, and restores what they were.
func setenv(vars map[string]string) (restore func()) {
	type value struct {
		text string
		set  bool
	}
	before := map[string]value{}
	for name, text := range vars {
		old, set := os.LookupEnv(name)
		before[name] = value{old, set}
		if err := os.Setenv(name, text); err != nil {
			log.Fatal(err)
		}
	}
	return func() {
		for name, old := range before {
			if old.set {
				os.Setenv(name, old.text)
			} else {
				os.Unsetenv(name)
			}
		}
	}
}

// signIn gets a token and returns what the app has proved itself by.
func signIn(client *apponly.Client, sts *entratest.Server) string {
	if _, err := client.Token(context.Background(), sts.API().Scope()); err != nil {
		log.Fatal(err)
	}
	requests := sts.Requests()
	return requests[len(requests)-1].AuthMethod + " credential"
}

// In a pod the kubelet writes the token of the service account to a file, and renews it
// there.
func ExampleAssertionFile() {
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
	defer setenv(map[string]string{"AZURE_FEDERATED_TOKEN_FILE": path})()
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)

	src := apponly.AssertionFile(os.Getenv("AZURE_FEDERATED_TOKEN_FILE"))
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}

// A job of GitHub Actions with the permission id-token: write.
func ExampleGitHubActions() {
	sts := entratest.NewServer()
	defer sts.Close()
	job := sts.NewGitHubJob("repo:octo-org/app:environment:prod")
	sts.App().AddFederatedCredential(job.FederatedCredential())
	defer setenv(job.Env())()
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)

	src := apponly.GitHubActions("")
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}

// A job of Azure Pipelines whose step names a service connection and maps
// SYSTEM_ACCESSTOKEN.
func ExampleAzurePipelines() {
	sts := entratest.NewServer()
	defer sts.Close()
	job := sts.NewPipelineJob("sc://contoso/project/connection")
	sts.App().AddFederatedCredential(job.FederatedCredential())
	defer setenv(job.Env())()
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)
	serviceConnectionID := job.ServiceConnectionID()

	src := apponly.AzurePipelines(serviceConnectionID)
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}

// A machine of Google Cloud. The subject is the unique ID of its service account.
func ExampleGoogleMetadata() {
	sts := entratest.NewServer()
	defer sts.Close()
	vm := sts.NewGoogleVM()
	sts.App().AddFederatedCredential(vm.FederatedCredential())
	defer setenv(vm.Env())()
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)

	src := apponly.GoogleMetadata("")
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}

// A job of GitLab, whose id_tokens ask for ENTRA_ID_TOKEN.
func ExampleAssertionEnv() {
	sts := entratest.NewServer()
	defer sts.Close()
	subject := "project_path:octo-org/app:ref_type:branch:ref:main"
	gitlab, audience := sts.NewIssuer("https://gitlab.com"), sts.Cloud().ExchangeAudience()
	sts.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: gitlab.URL(), Subject: subject, Audience: audience})
	defer setenv(map[string]string{"ENTRA_ID_TOKEN": gitlab.Token(entratest.Claims{Subject: subject, Audience: audience})})()
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)

	src := apponly.AssertionEnv("ENTRA_ID_TOKEN")
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}

// An app that a user-assigned managed identity proves: a multi-tenant app may do so in
// the tenants of its customers, where the identity itself is unknown.
func ExampleManagedIdentityAssertion() {
	sts := entratest.NewServer()
	defer sts.Close()
	identity := sts.Tenant().NewManagedIdentity()
	sts.App().AddFederatedCredential(identity.FederatedCredential())
	tenantID, clientID, identityID := sts.Tenant().ID(), sts.App().ClientID(), identity.ClientID()
	customer := sts.AddTenant("contoso.example")
	customer.Install(sts.App())
	customer.Provide(sts.API())
	opts := emulated(sts)
	opts.AllowedTenants = []string{"contoso.example"}

	src := apponly.ManagedIdentityAssertion(identityID)
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	there, err := client.Tenant("contoso.example")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(there, sts), "at", there.TenantID())
	// Output:
	// federated credential
	// federated credential at contoso.example
}

// An app that is proved by the token of another client, here that of a credential of
// azidentity which keeps what it does to get one to itself.
func ExampleClientAssertion() {
	sts := entratest.NewServer()
	defer sts.Close()
	identity := sts.Tenant().NewManagedIdentity()
	sts.App().AddFederatedCredential(identity.FederatedCredential())
	tenantID, clientID, opts := sts.Tenant().ID(), sts.App().ClientID(), emulated(sts)
	cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: sts.HTTPClient()},
		ID:            azidentity.ClientID(identity.ClientID()),
	})
	if err != nil {
		log.Fatal(err)
	}

	other, err := apponly.FromTokenCredential(cred, nil)
	if err != nil {
		log.Fatal(err)
	}
	src := apponly.ClientAssertion(other)
	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signIn(client, sts))
	// Output: federated credential
}
