// SPDX-License-Identifier: MIT

package compat_test

import (
	"context"
	"crypto/rsa"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/go-autorest/autorest/adal"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"
	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/storage/remote/azuread"
)

// programs are the clients as they stand in programs of others: with no option that is about
// an emulator. Each gets one token.
var programs = map[string]func(context.Context) (string, error){
	"azidentity default": func(ctx context.Context) (string, error) {
		cred, err := azidentity.NewDefaultAzureCredential(nil)
		return get(ctx, cred, err)
	},
	"azidentity environment": func(ctx context.Context) (string, error) {
		cred, err := azidentity.NewEnvironmentCredential(nil)
		return get(ctx, cred, err)
	},
	"azidentity workload": func(ctx context.Context) (string, error) {
		cred, err := azidentity.NewWorkloadIdentityCredential(nil)
		return get(ctx, cred, err)
	},
	"azidentity machine": func(ctx context.Context) (string, error) {
		cred, err := azidentity.NewManagedIdentityCredential(nil)
		return get(ctx, cred, err)
	},
	"azidentity identity": func(ctx context.Context) (string, error) {
		cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(my("IDENTITY"))})
		return get(ctx, cred, err)
	},
	"MSAL secret": func(ctx context.Context) (string, error) {
		cred, err := confidential.NewCredFromSecret(my("SECRET"))
		return acquire(ctx, cred, err)
	},
	"MSAL certificate": func(ctx context.Context) (string, error) {
		pem, err := os.ReadFile(my("PEM"))
		if err != nil {
			return "", err
		}
		certs, key, err := confidential.CertFromPEM(pem, "")
		if err != nil {
			return "", err
		}
		cred, err := confidential.NewCredFromCert(certs, key)
		return acquire(ctx, cred, err)
	},
	"MSAL assertion": func(ctx context.Context) (string, error) {
		return acquire(ctx, confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
			assertion, err := os.ReadFile(my("ASSERTION"))
			return string(assertion), err
		}), nil)
	},
	"MSAL identity": func(ctx context.Context) (string, error) {
		client, err := managedidentity.New(managedidentity.UserAssignedClientID(my("IDENTITY")))
		if err != nil {
			return "", err
		}
		res, err := client.AcquireToken(ctx, my("API"))
		return res.AccessToken, err
	},
	"HashiCorp secret": func(ctx context.Context) (string, error) {
		return authorize(ctx, auth.Credentials{EnableAuthenticatingUsingClientSecret: true, ClientSecret: my("SECRET")})
	},
	"HashiCorp metadata_host": func(ctx context.Context) (string, error) {
		env, err := environments.FromEndpoint(ctx, "https://management.azure.com")
		if err != nil {
			return "", err
		}
		return authorizeIn(ctx, *env, auth.Credentials{EnableAuthenticatingUsingClientSecret: true, ClientSecret: my("SECRET")})
	},
	"HashiCorp certificate": func(ctx context.Context) (string, error) {
		return authorize(ctx, auth.Credentials{EnableAuthenticatingUsingClientCertificate: true, ClientCertificatePath: my("PFX")})
	},
	"HashiCorp federated": func(ctx context.Context) (string, error) {
		assertion, err := os.ReadFile(my("ASSERTION"))
		if err != nil {
			return "", err
		}
		return authorize(ctx, auth.Credentials{EnableAuthenticationUsingOIDC: true, OIDCAssertionToken: string(assertion)})
	},
	"adal secret": func(ctx context.Context) (string, error) {
		config, err := adal.NewOAuthConfig("https://login.microsoftonline.com/", my("TENANT"))
		if err != nil {
			return "", err
		}
		token, err := adal.NewServicePrincipalToken(*config, my("CLIENT"), my("SECRET"), my("API"))
		return refresh(ctx, token, err)
	},
	"adal certificate": func(ctx context.Context) (string, error) {
		config, err := adal.NewOAuthConfig("https://login.microsoftonline.com/", my("TENANT"))
		if err != nil {
			return "", err
		}
		pem, err := os.ReadFile(my("PEM"))
		if err != nil {
			return "", err
		}
		certs, key, err := confidential.CertFromPEM(pem, "")
		if err != nil {
			return "", err
		}
		token, err := adal.NewServicePrincipalTokenFromCertificate(*config, my("CLIENT"), certs[0], key.(*rsa.PrivateKey), my("API"))
		return refresh(ctx, token, err)
	},
	"Prometheus secret": func(ctx context.Context) (string, error) {
		return write(ctx, azuread.AzureADConfig{OAuth: &azuread.OAuthConfig{ClientID: my("CLIENT"), ClientSecret: config_util.Secret(my("SECRET")), TenantID: my("TENANT")}})
	},
	"Prometheus certificate": func(ctx context.Context) (string, error) {
		return write(ctx, azuread.AzureADConfig{Certificate: &azuread.CertificateConfig{ClientID: my("CLIENT"), TenantID: my("TENANT"), CertificatePath: my("PEM")}})
	},
	"Prometheus workload": func(ctx context.Context) (string, error) {
		return write(ctx, azuread.AzureADConfig{WorkloadIdentity: &azuread.WorkloadIdentityConfig{ClientID: my("CLIENT"), TenantID: my("TENANT"), TokenFilePath: my("ASSERTION")}})
	},
	"Prometheus identity": func(ctx context.Context) (string, error) {
		return write(ctx, azuread.AzureADConfig{ManagedIdentity: &azuread.ManagedIdentityConfig{ClientID: my("IDENTITY")}})
	},
	"Prometheus sdk": func(ctx context.Context) (string, error) {
		return write(ctx, azuread.AzureADConfig{SDK: &azuread.SDKConfig{TenantID: my("TENANT")}})
	},
}

// my is what the program knows about its app.
func my(name string) string { return os.Getenv("COMPAT_" + name) }

func get(ctx context.Context, cred azcore.TokenCredential, err error) (string, error) {
	if err != nil {
		return "", err
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{my("SCOPE")}})
	return token.Token, err
}

func acquire(ctx context.Context, cred confidential.Credential, err error) (string, error) {
	if err != nil {
		return "", err
	}
	client, err := confidential.New("https://login.microsoftonline.com/"+my("TENANT"), my("CLIENT"), cred)
	if err != nil {
		return "", err
	}
	res, err := client.AcquireTokenByCredential(ctx, []string{my("SCOPE")})
	return res.AccessToken, err
}

// authorize is what Terraform's providers do first.
func authorize(ctx context.Context, c auth.Credentials) (string, error) {
	return authorizeIn(ctx, *environments.AzurePublic(), c)
}

func authorizeIn(ctx context.Context, env environments.Environment, c auth.Credentials) (string, error) {
	c.Environment, c.TenantID, c.ClientID = env, my("TENANT"), my("CLIENT")
	authorizer, err := auth.NewAuthorizerFromCredentials(ctx, c, c.Environment.ResourceManager)
	if err != nil {
		return "", err
	}
	token, err := authorizer.Token(ctx, &http.Request{})
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func refresh(ctx context.Context, token *adal.ServicePrincipalToken, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if err := token.RefreshWithContext(ctx); err != nil {
		return "", err
	}
	return token.OAuthToken(), nil
}

// write is a remote write of Prometheus, of which the token is looked at on its way.
func write(ctx context.Context, c azuread.AzureADConfig) (string, error) {
	c.Cloud, c.Scope = azuread.AzurePublic, my("SCOPE")
	if err := c.Validate(); err != nil {
		return "", err
	}
	var token string
	rt, err := azuread.NewAzureADRoundTripper(&c, seen(func(r *http.Request) { token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") }))
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://monitor.example/write", nil)
	if err != nil {
		return "", err
	}
	if _, err = rt.RoundTrip(req); err != nil {
		return "", fmt.Errorf("remote write: %w", err)
	}
	return token, nil
}

type seen func(*http.Request)

func (f seen) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
}
