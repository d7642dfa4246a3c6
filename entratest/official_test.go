// SPDX-License-Identifier: MIT

package entratest_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/apponly/apponly/entratest"
)

// official is an emulator behind TLS and what the official clients need to
// reach it. They are the judges here: what they send has to be understood, and
// what they are sent has to satisfy them.
type official struct {
	*entratest.Server
	authority string
	client    *http.Client
}

func newOfficial(t *testing.T) *official {
	s := entratest.New(t)
	authority, ca := s.StartTLS()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &official{Server: s, authority: authority, client: &http.Client{Transport: transport}}
}

func (o *official) options() azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: o.authority + "/"},
		Transport: o.client,
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
}

func (o *official) secret(tenant, client, secret string) (azcore.TokenCredential, error) {
	return azidentity.NewClientSecretCredential(tenant, client, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: o.options(), DisableInstanceDiscovery: true,
	})
}

func (o *official) certificate(pem []byte, sendChain bool) (azcore.TokenCredential, error) {
	certs, key, err := azidentity.ParseCertificates(pem, nil)
	if err != nil {
		return nil, err
	}
	return azidentity.NewClientCertificateCredential(o.Tenant().ID(), o.App().ClientID(), certs, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: o.options(), DisableInstanceDiscovery: true, SendCertificateChain: sendChain})
}

func (o *official) workload(t *testing.T, token string) (azcore.TokenCredential, error) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: o.options(), DisableInstanceDiscovery: true,
		TenantID: o.Tenant().ID(), ClientID: o.App().ClientID(), TokenFilePath: file,
	})
}

func TestAzidentityIsServed(t *testing.T) {
	o := newOfficial(t)
	o.SetTokenLifetime(time.Hour)
	for name, tt := range map[string]struct {
		credential func() (azcore.TokenCredential, error)
		strength   string
	}{
		"secret": {func() (azcore.TokenCredential, error) {
			return o.secret(o.Tenant().ID(), o.App().ClientID(), o.Secret())
		}, "1"},
		"certificate": {func() (azcore.TokenCredential, error) { return o.certificate(o.Certificate().PEM(), false) }, "2"},
		"x5c":         {func() (azcore.TokenCredential, error) { return o.certificate(o.Certificate().PEM(), true) }, "2"},
		"federated":   {func() (azcore.TokenCredential, error) { return o.workload(t, o.FederatedToken()) }, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := tt.credential()
			if err != nil {
				t.Fatal(err)
			}
			tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{o.API().Scope()}, EnableCAE: true})
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(tok.ExpiresOn); left < 59*time.Minute || left > 61*time.Minute {
				t.Errorf("token expires in %v, want an hour", left)
			}
			_, claims := verify(t, o.client, o.authority, o.Tenant().ID(), tok.Token)
			if got, want := claims["iss"], o.authority+"/"+o.Tenant().ID()+"/v2.0"; got != want {
				t.Errorf("iss = %v, want %v", got, want)
			}
			if got := claims["azpacr"]; got != tt.strength {
				t.Errorf("azpacr = %v, want %v", got, tt.strength)
			}
			if got := fmt.Sprint(claims["roles"]); got != "[Data.Read.All]" {
				t.Errorf("roles = %v, want the granted one", got)
			}
			if got := fmt.Sprint(claims["xms_cc"]); got != "[cp1]" {
				t.Errorf("xms_cc = %v, want [cp1]: azidentity asked for CAE", got)
			}
		})
	}
}

func TestAzidentityIsRefused(t *testing.T) {
	o := newOfficial(t)
	tenant, client := o.Tenant().ID(), o.App().ClientID()
	expired := o.App().NewSecret(time.Now().Add(-time.Minute))
	stranger := o.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	o.App().RemoveCertificate(stranger.Leaf)
	old := o.App().NewCertificate(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	const guid = "11111111-2222-4333-8444-555555555555"
	federated := func(c entratest.Claims) func() (azcore.TokenCredential, error) {
		return func() (azcore.TokenCredential, error) { return o.workload(t, o.Issuer().Token(c)) }
	}

	for name, tt := range map[string]struct {
		code       int
		credential func() (azcore.TokenCredential, error)
		scope      string
	}{
		"wrong secret":      {code: 7000215, credential: func() (azcore.TokenCredential, error) { return o.secret(tenant, client, "nope") }},
		"expired secret":    {code: 7000222, credential: func() (azcore.TokenCredential, error) { return o.secret(tenant, client, expired) }},
		"unknown client":    {code: 700016, credential: func() (azcore.TokenCredential, error) { return o.secret(tenant, guid, o.Secret()) }},
		"unknown tenant":    {code: 90002, credential: func() (azcore.TokenCredential, error) { return o.secret(guid, client, o.Secret()) }},
		"unknown cert":      {code: 700027, credential: func() (azcore.TokenCredential, error) { return o.certificate(stranger.PEM(), false) }},
		"unknown x5c":       {code: 700030, credential: func() (azcore.TokenCredential, error) { return o.certificate(stranger.PEM(), true) }},
		"expired cert":      {code: 1000502, credential: func() (azcore.TokenCredential, error) { return o.certificate(old.PEM(), false) }},
		"wrong subject":     {code: 700213, credential: federated(entratest.Claims{Subject: "x", Audience: o.Cloud().ExchangeAudience()})},
		"wrong audience":    {code: 700212, credential: federated(entratest.Claims{Subject: "system:serviceaccount:demo:worker", Audience: "x"})},
		"expired assertion": {code: 700024, credential: federated(entratest.Claims{ExpiresAt: time.Now().Add(-time.Hour)})},
		"unknown resource": {code: 500011, scope: "api://nobody/.default",
			credential: func() (azcore.TokenCredential, error) { return o.secret(tenant, client, o.Secret()) }},
		"scope of a user": {code: 1002012, scope: "https://api.test/user.read",
			credential: func() (azcore.TokenCredential, error) { return o.secret(tenant, client, o.Secret()) }},
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := tt.credential()
			if err != nil {
				t.Fatal(err)
			}
			scope := tt.scope
			if scope == "" {
				scope = o.API().Scope()
			}
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
			if want := fmt.Sprintf("AADSTS%d:", tt.code); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestMSALIsServed(t *testing.T) {
	o := newOfficial(t)
	var endpoint string
	for name, credential := range map[string]func() (confidential.Credential, error){
		"secret": func() (confidential.Credential, error) { return confidential.NewCredFromSecret(o.Secret()) },
		"certificate": func() (confidential.Credential, error) {
			return confidential.NewCredFromCert([]*x509.Certificate{o.Certificate().Leaf}, crypto.PrivateKey(o.Certificate().Key))
		},
		"assertion": func() (confidential.Credential, error) {
			return confidential.NewCredFromAssertionCallback(func(_ context.Context, ro confidential.AssertionRequestOptions) (string, error) {
				endpoint = ro.TokenEndpoint
				return o.FederatedToken(), nil
			}), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := credential()
			if err != nil {
				t.Fatal(err)
			}
			client, err := confidential.New(o.authority+"/"+o.Tenant().ID(), o.App().ClientID(), cred,
				confidential.WithHTTPClient(o.client), confidential.WithInstanceDiscovery(false))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.AcquireTokenByCredential(t.Context(), []string{o.API().Scope()})
			if err != nil {
				t.Fatal(err)
			}
			verify(t, o.client, o.authority, o.Tenant().ID(), res.AccessToken)
		})
	}
	if want := o.Cloud().TokenEndpoint(o.Tenant().ID()); endpoint != want {
		t.Errorf("MSAL learned the token endpoint %q, want %q", endpoint, want)
	}
}

// TestMSALByDomain guards that the discovery document and the audience check
// agree on how a tenant is spelled: MSAL signs for the endpoint it was told.
func TestMSALByDomain(t *testing.T) {
	o := newOfficial(t)
	tenant := o.AddTenant("contoso.example")
	tenant.Install(o.App())
	tenant.Provide(o.API())
	cred, err := confidential.NewCredFromCert([]*x509.Certificate{o.Certificate().Leaf}, o.Certificate().Key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := confidential.New(o.authority+"/contoso.example", o.App().ClientID(), cred,
		confidential.WithHTTPClient(o.client), confidential.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.AcquireTokenByCredential(t.Context(), []string{o.API().Scope()})
	if err != nil {
		t.Fatal(err)
	}
	_, claims := verify(t, o.client, o.authority, tenant.ID(), res.AccessToken)
	if claims["tid"] != tenant.ID() || claims["roles"] != nil {
		t.Errorf("claims = %v, want tenant %s and no roles", claims, tenant.ID())
	}
}

// TestMSALInARegion has what MSAL does when a region is set, which only
// Microsoft's own services are served for.
func TestMSALInARegion(t *testing.T) {
	s := entratest.New(t)
	cred, err := confidential.NewCredFromSecret(s.Secret())
	if err != nil {
		t.Fatal(err)
	}
	client, err := confidential.New(s.Cloud().Authority()+"/"+s.Tenant().ID(), s.App().ClientID(), cred,
		confidential.WithHTTPClient(s.HTTPClient()), confidential.WithInstanceDiscovery(false), confidential.WithAzureRegion("westeurope"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.AcquireTokenByCredential(t.Context(), []string{s.API().Scope()})
	if err == nil || !strings.Contains(err.Error(), "AADSTS100007:") {
		t.Errorf("got %v, want AADSTS100007", err)
	}
}
