// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

// The clients here are Microsoft's own, as they are. They get the files of the
// command and nothing else. Each flow is a function of the secret to use, which
// only those with a secret look at.

func azidentityFlows(e *emulator, client *http.Client) map[string]func(secret string) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: e.AuthorityHost},
		Transport: client,
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
	return map[string]func(string) (azcore.TokenCredential, error){
		"secret": func(secret string) (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(e.TenantID, e.ClientID, secret,
				&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		},
		"certificate": func(string) (azcore.TokenCredential, error) {
			certs, key, err := readCertificate(e)
			if err != nil {
				return nil, err
			}
			return azidentity.NewClientCertificateCredential(e.TenantID, e.ClientID, certs, key,
				&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		},
		"federated": func(string) (azcore.TokenCredential, error) {
			return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
				ClientOptions: options, DisableInstanceDiscovery: true,
				TenantID: e.TenantID, ClientID: e.ClientID, TokenFilePath: e.FederatedTokenFile,
			})
		},
	}
}

func readCertificate(e *emulator) ([]*x509.Certificate, any, error) {
	pem, err := os.ReadFile(e.CertificatePath)
	if err != nil {
		return nil, nil, err
	}
	return azidentity.ParseCertificates(pem, nil)
}

func TestAzidentity(t *testing.T) {
	e := start(t)
	client := e.client(t)
	flows := azidentityFlows(e, client)
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			cred, err := flow(e.ClientSecret)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{e.Scope}})
			if err != nil {
				t.Fatal(err)
			}
			checkDemoToken(t, e, client, tok.Token)
		})
	}

	for name, tt := range map[string]struct {
		secret, scope string
		code          int
	}{
		"wrong secret":     {"wrong", e.Scope, 7000215},
		"unknown resource": {e.ClientSecret, "api://nobody/.default", 500011},
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := flows["secret"](tt.secret)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{tt.scope}})
			checkRefused(t, err, tt.code)
		})
	}
}

func msalFlows(e *emulator) map[string]func(secret string) (confidential.Credential, error) {
	return map[string]func(string) (confidential.Credential, error){
		"secret": func(secret string) (confidential.Credential, error) { return confidential.NewCredFromSecret(secret) },
		"certificate": func(string) (confidential.Credential, error) {
			certs, key, err := readCertificate(e)
			if err != nil {
				return confidential.Credential{}, err
			}
			return confidential.NewCredFromCert(certs, key)
		},
		"assertion": func(string) (confidential.Credential, error) {
			return confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
				assertion, err := os.ReadFile(e.FederatedTokenFile)
				return string(assertion), err
			}), nil
		},
	}
}

func TestMSAL(t *testing.T) {
	e := start(t)
	client := e.client(t)
	acquire := func(flow func(string) (confidential.Credential, error), secret string) (string, error) {
		cred, err := flow(secret)
		if err != nil {
			return "", err
		}
		app, err := confidential.New(e.AuthorityHost+"/"+e.TenantID, e.ClientID, cred,
			confidential.WithHTTPClient(client), confidential.WithInstanceDiscovery(false))
		if err != nil {
			return "", err
		}
		res, err := app.AcquireTokenByCredential(t.Context(), []string{e.Scope})
		return res.AccessToken, err
	}
	flows := msalFlows(e)
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			token, err := acquire(flow, e.ClientSecret)
			if err != nil {
				t.Fatal(err)
			}
			checkDemoToken(t, e, client, token)
		})
	}
	t.Run("wrong secret", func(t *testing.T) {
		_, err := acquire(flows["secret"], "wrong")
		checkRefused(t, err, 7000215)
	})
}

func checkDemoToken(t *testing.T, e *emulator, client *http.Client, token string) {
	t.Helper()
	claims := verifyToken(t, client, e.AuthorityHost+"/common/discovery/v2.0/keys", token)
	for claim, want := range map[string]string{"aud": e.APIAudience, "azp": e.ClientID, "tid": e.TenantID, "roles": "[Data.Read.All]"} {
		if got := fmt.Sprint(claims[claim]); got != want {
			t.Errorf("%s = %s, want %s", claim, got, want)
		}
	}
}

func checkRefused(t *testing.T, err error, code int) {
	t.Helper()
	if want := fmt.Sprintf("AADSTS%d:", code); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
