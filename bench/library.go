// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/apponly/apponly"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/auth/bearer"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// A library is a token cache under test.
type library struct {
	name, module string
	// open returns one that asks s, as empty as a new process. early is how
	// long before its end a token is refreshed, where that is a setting.
	open func(s *sts, early time.Duration) instance
	// ownMargin says that a token's last 10 seconds are the only time in which
	// it is valid and to be refreshed.
	ownMargin bool
}

// An instance is a library in use.
type instance struct {
	// hold returns how to get a token from what a user keeps for one tenant.
	hold func(tenant string) (get, error)
	// by gets a token from one client for any tenant; nil where there is no
	// such thing.
	by func(ctx context.Context, tenant string) error
	// loop gets a token for each of some tenants and returns a loop over what a
	// user keeps for them, in random order.
	loop func(tenants []string) (func(first int) loop, error)
}

type get func(ctx context.Context) error

// A loop makes n calls.
type loop func(n int) error

// in makes an instance of a library whose users keep a V for each tenant.
func in[V any](hold func(tenant string) (V, error), token func(context.Context, V) error, by func(context.Context, string) error) instance {
	return instance{
		by: by,
		hold: func(tenant string) (get, error) {
			v, err := hold(tenant)
			return func(ctx context.Context) error { return token(ctx, v) }, err
		},
		loop: func(tenants []string) (func(int) loop, error) {
			vs := make([]V, len(tenants))
			err := inParallel(len(tenants), func(i int) (err error) {
				if vs[i], err = hold(tenants[i]); err != nil {
					return err
				}
				return token(context.Background(), vs[i])
			})
			// Not in the order in which they were filled, in which they may lie
			// in memory one behind the other.
			rand.Shuffle(len(vs), func(i, j int) { vs[i], vs[j] = vs[j], vs[i] })
			return func(first int) loop { return cycle(vs, first, token) }, err
		},
	}
}

// cycle calls for one element of s after the other, over and over. That s has
// been shuffled makes it random access to the library's memory, and to the
// benchmark's own it is not.
func cycle[V any](s []V, first int, call func(context.Context, V) error) loop {
	ctx, i := context.Background(), first%len(s)
	return func(n int) error {
		for range n {
			if err := call(ctx, s[i]); err != nil {
				return err
			}
			if i++; i == len(s) {
				i = 0
			}
		}
		return nil
	}
}

const (
	home     = "11111111-1111-4111-8111-111111111111"
	clientID = "22222222-2222-4222-8222-222222222222"
	secret   = "the-secret-of-the-benchmark"
	scope    = "https://graph.microsoft.com/.default"
)

// maxEntries leaves room for the largest case.
const maxEntries = 1<<20 + 1024

func openOurs(s *sts) (*apponly.Client, error) {
	return openCached(s, apponly.NewCache(&apponly.CacheOptions{MaxEntries: maxEntries}))
}

func openCached(s *sts, cache *apponly.Cache) (*apponly.Client, error) {
	return apponly.New(home, clientID, apponly.Secret(secret), &apponly.Options{
		AllowedTenants: []string{"*"},
		Cache:          cache,
		HTTPClient:     s.client(),
	})
}

// ours is the cache this is all about, the first of the libraries.
var ours = library{
	name: "apponly", module: "github.com/apponly/apponly",
	open: func(s *sts, _ time.Duration) instance {
		c, err := openOurs(s)
		return in(
			func(tenant string) (*apponly.Client, error) {
				if err != nil {
					return nil, err
				}
				return c.Tenant(tenant)
			},
			func(ctx context.Context, c *apponly.Client) error { _, err := c.Token(ctx, scope); return err },
			func(ctx context.Context, tenant string) error {
				v, err := c.Tenant(tenant)
				if err != nil {
					return err
				}
				_, err = v.Token(ctx, scope)
				return err
			})
	},
}

var libraries = []library{
	ours,
	{
		name: "azidentity", module: "github.com/Azure/azure-sdk-for-go/sdk/azidentity",
		open: func(s *sts, _ time.Duration) instance {
			credential := func(tenant string) (*azidentity.ClientSecretCredential, error) {
				opts := &azidentity.ClientSecretCredentialOptions{AdditionallyAllowedTenants: []string{"*"}}
				opts.Transport = s.client()
				return azidentity.NewClientSecretCredential(tenant, clientID, secret, opts)
			}
			scopes := []string{scope}
			one, err := credential(home)
			return in(credential,
				func(ctx context.Context, c *azidentity.ClientSecretCredential) error {
					_, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: scopes})
					return err
				},
				func(ctx context.Context, tenant string) error {
					if err != nil {
						return err
					}
					_, err := one.GetToken(ctx, policy.TokenRequestOptions{Scopes: scopes, TenantID: tenant})
					return err
				})
		},
	},
	{
		name: "MSAL Go", module: "github.com/AzureAD/microsoft-authentication-library-for-go",
		open: func(s *sts, _ time.Duration) instance {
			client := func(tenant string) (confidential.Client, error) {
				cred, err := confidential.NewCredFromSecret(secret)
				if err != nil {
					return confidential.Client{}, err
				}
				return confidential.New("https://"+host+"/"+tenant, clientID, cred, confidential.WithHTTPClient(s.client()))
			}
			scopes := []string{scope}
			one, err := client(home)
			return in(client,
				// Ask the cache, then Entra: what its documentation says to do.
				func(ctx context.Context, c confidential.Client) error {
					_, err := c.AcquireTokenSilent(ctx, scopes)
					if err != nil {
						_, err = c.AcquireTokenByCredential(ctx, scopes)
					}
					return err
				},
				func(ctx context.Context, tenant string) error {
					if err != nil {
						return err
					}
					_, err := one.AcquireTokenSilent(ctx, scopes, confidential.WithTenantID(tenant))
					if err != nil {
						_, err = one.AcquireTokenByCredential(ctx, scopes, confidential.WithTenantID(tenant))
					}
					return err
				})
		},
	},
	{
		name: "x/oauth2", module: "golang.org/x/oauth2", ownMargin: true,
		open: func(s *sts, _ time.Duration) instance {
			ctx := context.WithValue(context.Background(), oauth2.HTTPClient, s.client())
			return in(
				func(tenant string) (oauth2.TokenSource, error) {
					return oauth2Config(tenant).TokenSource(ctx), nil // wraps it in ReuseTokenSource
				},
				func(_ context.Context, src oauth2.TokenSource) error { _, err := src.Token(); return err },
				nil)
		},
	},
	{
		name: "smithy-go bearer", module: "github.com/aws/smithy-go",
		open: func(s *sts, early time.Duration) instance {
			return in(
				func(tenant string) (*bearer.TokenCache, error) {
					p := provider{s, tokenURL(tenant)}
					return bearer.NewTokenCache(smithyProvider{p}, func(o *bearer.TokenCacheOptions) { o.RefreshBeforeExpires = early }), nil
				},
				func(ctx context.Context, c *bearer.TokenCache) error {
					_, err := c.RetrieveBearerToken(ctx)
					return err
				},
				nil)
		},
	},
	{
		name: "AWS SDK v2", module: "github.com/aws/aws-sdk-go-v2",
		open: func(s *sts, early time.Duration) instance {
			return in(
				func(tenant string) (*aws.CredentialsCache, error) {
					p := provider{s, tokenURL(tenant)}
					return aws.NewCredentialsCache(awsProvider{p}, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = early }), nil
				},
				func(ctx context.Context, c *aws.CredentialsCache) error { _, err := c.Retrieve(ctx); return err },
				nil)
		},
	},
	{
		name: "Google auth", module: "cloud.google.com/go/auth",
		open: func(s *sts, early time.Duration) instance {
			return in(
				func(tenant string) (auth.TokenProvider, error) {
					p := provider{s, tokenURL(tenant)}
					return auth.NewCachedTokenProvider(googleProvider{p}, &auth.CachedTokenProviderOptions{ExpireEarly: early}), nil
				},
				func(ctx context.Context, c auth.TokenProvider) error { _, err := c.Token(ctx); return err },
				nil)
		},
	},
}

func oauth2Config(tenant string) *clientcredentials.Config {
	return &clientcredentials.Config{
		ClientID: clientID, ClientSecret: secret, Scopes: []string{scope},
		TokenURL: tokenURL(tenant), AuthStyle: oauth2.AuthStyleInParams,
	}
}

func tokenURL(tenant string) string { return "https://" + host + "/" + tenant + "/oauth2/v2.0/token" }

// A provider asks for one token with one request, for caches that leave that to
// others.
type provider struct {
	s   *sts
	url string
}

func (p provider) ask(ctx context.Context) (token string, expires time.Time, err error) {
	form := url.Values{"client_id": {clientID}, "client_secret": {secret}, "scope": {scope}, "grant_type": {"client_credentials"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(form.Encode()))
	if err != nil {
		return "", time.Time{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.s.client().Do(req)
	if err != nil {
		return "", time.Time{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", time.Time{}, fmt.Errorf("token request: %s", resp.Status)
	}
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	err = json.NewDecoder(resp.Body).Decode(&body)
	return body.AccessToken, time.Now().Add(time.Duration(body.ExpiresIn) * time.Second), err
}

type smithyProvider struct{ provider }

func (p smithyProvider) RetrieveBearerToken(ctx context.Context) (bearer.Token, error) {
	token, expires, err := p.ask(ctx)
	return bearer.Token{Value: token, CanExpire: true, Expires: expires}, err
}

type awsProvider struct{ provider }

func (p awsProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	token, expires, err := p.ask(ctx)
	return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "key", SessionToken: token, CanExpire: true, Expires: expires}, err
}

type googleProvider struct{ provider }

func (p googleProvider) Token(ctx context.Context) (*auth.Token, error) {
	token, expires, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: token, Type: "Bearer", Expiry: expires}, nil
}
