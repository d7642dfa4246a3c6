// SPDX-License-Identifier: MIT

package awsassertion_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/awsassertion"
	"github.com/apponly/apponly/entratest"
	"github.com/aws/aws-sdk-go-v2/aws"
)

// newChain starts an Entra that trusts the role of a fake STS.
func newChain(t *testing.T) (*entratest.Server, *fakeSTS) {
	t.Helper()
	entra := entratest.New(t)
	sts := &fakeSTS{issuer: entra.NewIssuer(issuerURL)}
	entra.App().AddFederatedCredential(entratest.FederatedCredential{
		Issuer: issuerURL, Subject: roleARN, Audience: entra.Cloud().ExchangeAudience(),
	})
	return entra, sts
}

// newClient makes a client of the emulator's app, with a cache of its own.
func newClient(t *testing.T, entra *entratest.Server, src apponly.AssertionSource) *apponly.Client {
	t.Helper()
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Federated(src), &apponly.Options{
		Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(), Cache: new(apponly.Cache),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A role of AWS gets access tokens, and STS is asked once for each token request.
func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entra, sts := newChain(t)
		entra.SetTokenLifetime(time.Hour)
		client := newClient(t, entra, awsassertion.New(sts.config(), nil))
		for i := range int32(3) {
			if _, err := client.Token(t.Context(), entra.API().Scope()); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Token(t.Context(), entra.API().Scope()); err != nil {
				t.Fatal(err)
			}
			if got := sts.requests.Load(); got != i+1 {
				t.Errorf("STS was asked %d times for %d token requests", got, i+1)
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

// The same over a network: TLS, and what AWS's SDK takes for an HTTP client if the
// configuration has none.
func TestChainOverNetwork(t *testing.T) {
	entra, sts := newChain(t)
	secure, plain := httptest.NewTLSServer(sts), httptest.NewServer(sts)
	defer secure.Close()
	defer plain.Close()
	for _, tc := range []struct {
		client aws.HTTPClient
		url    string
	}{{secure.Client(), secure.URL}, {nil, plain.URL}} {
		cfg := sts.config()
		cfg.HTTPClient, cfg.BaseEndpoint = tc.client, aws.String(tc.url)
		if _, err := newClient(t, entra, awsassertion.New(cfg, nil)).Token(t.Context(), entra.API().Scope()); err != nil {
			t.Errorf("%s: %v", tc.url, err)
		}
	}
}

func TestRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		opts *awsassertion.Options
		want url.Values
	}{
		"default": {nil, url.Values{"Audience.member.1": {"api://AzureADTokenExchange"}}},
		"zero":    {&awsassertion.Options{}, url.Values{"Audience.member.1": {"api://AzureADTokenExchange"}}},
		"chosen": {&awsassertion.Options{Audience: "api://other", Duration: 15 * time.Minute},
			url.Values{"Audience.member.1": {"api://other"}, "DurationSeconds": {"900"}}},
		"shortest": {&awsassertion.Options{Duration: time.Minute},
			url.Values{"Audience.member.1": {"api://AzureADTokenExchange"}, "DurationSeconds": {"60"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, sts := newChain(t)
			var got url.Values
			sts.respond = func(w http.ResponseWriter, form url.Values) { got = form; sts.token(w, form) }
			var host string
			cfg := sts.config()
			cfg.HTTPClient = doer(func(req *http.Request) (*http.Response, error) { host = req.URL.Host; return sts.Do(req) })
			token, err := awsassertion.New(cfg, tc.opts).Assertion(t.Context(), apponly.AssertionRequest{Audience: "api://AzureADTokenExchange"})
			if err != nil || token != sts.lastToken.Load() {
				t.Errorf("Assertion: not the token of STS, %v", err)
			}
			tc.want["Action"], tc.want["Version"], tc.want["SigningAlgorithm"] = []string{"GetWebIdentityToken"}, []string{"2011-06-15"}, []string{"RS256"}
			if got.Encode() != tc.want.Encode() || host != "sts.eu-west-1.amazonaws.com" {
				t.Errorf("sent to %s: %s, want %s", host, got.Encode(), tc.want.Encode())
			}
		})
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(req *http.Request) (*http.Response, error) { return d(req) }

// What is wrong with the arguments is said at the first token request, and
// nothing is sent.
func TestArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*aws.Config, *awsassertion.Options)
		want   string
	}{
		"no region":        {func(c *aws.Config, _ *awsassertion.Options) { c.Region = "" }, "AWS STS GetWebIdentityToken: no region: set AWS_REGION"},
		"global":           {func(c *aws.Config, _ *awsassertion.Options) { c.Region = "aws-global" }, `"aws-global" is not a region: the global endpoint`},
		"global of China":  {func(c *aws.Config, _ *awsassertion.Options) { c.Region = "aws-cn-global" }, `"aws-cn-global" is not a region`},
		"no credentials":   {func(c *aws.Config, _ *awsassertion.Options) { c.Credentials = nil }, "the aws.Config has no credentials"},
		"anonymous":        {func(c *aws.Config, _ *awsassertion.Options) { c.Credentials = aws.AnonymousCredentials{} }, "the aws.Config has no credentials"},
		"too short":        {func(_ *aws.Config, o *awsassertion.Options) { o.Duration = 59 * time.Second }, "Options.Duration is 59s, want 1m0s to 1h0m0s"},
		"too long":         {func(_ *aws.Config, o *awsassertion.Options) { o.Duration = time.Hour + time.Second }, "Options.Duration is 1h0m1s, want"},
		"negative":         {func(_ *aws.Config, o *awsassertion.Options) { o.Duration = -time.Minute }, "Options.Duration is -1m0s, want"},
		"long audience":    {func(_ *aws.Config, o *awsassertion.Options) { o.Audience = strings.Repeat("a", 1001) }, "the audience has 1001 characters"},
		"malformed region": {func(c *aws.Config, _ *awsassertion.Options) { c.Region = "eu west/1" }, `"eu west/1" is not a region: want one like`},
	} {
		t.Run(name, func(t *testing.T) {
			entra, sts := newChain(t)
			cfg, opts := sts.config(), &awsassertion.Options{}
			tc.change(&cfg, opts)
			_, err := newClient(t, entra, awsassertion.New(cfg, opts)).Token(t.Context(), entra.API().Scope())
			if !errors.Is(err, apponly.ErrCredentialUnavailable) || !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("Token: %v, want %s", err, tc.want)
			}
			if sts.requests.Load()+int32(entra.TokenRequests()) != 0 {
				t.Error("a request was sent")
			}
		})
	}
}

func TestContext(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*aws.Config)
		want   string
	}{
		"STS hangs": {func(cfg *aws.Config) {
			cfg.HTTPClient = doer(func(req *http.Request) (*http.Response, error) {
				<-req.Context().Done()
				return nil, req.Context().Err()
			})
		}, "in eu-west-1: no answer: "},
		"the credentials hang": {func(cfg *aws.Config) {
			cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				time.Sleep(time.Minute)
				return aws.Credentials{}, errors.New("no metadata service")
			}))
		}, "in eu-west-1: no AWS credentials in time: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, sts := newChain(t)
				cfg := sts.config()
				tc.change(&cfg)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				began := time.Now()
				_, err := awsassertion.New(cfg, nil).Assertion(ctx, apponly.AssertionRequest{Audience: "a"})
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("after %v: %v, want %s", time.Since(began), err, tc.want)
				}
				time.Sleep(time.Hour) // whatever still runs returns
			})
		})
	}
}

// A source is equal to itself only, and can be compared: clients made with one
// source share their tokens.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entra, sts := newChain(t)
		src, cache, httpClient := awsassertion.New(sts.config(), nil), new(apponly.Cache), entra.HTTPClient()
		for range 2 {
			client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Federated(src), &apponly.Options{
				Cloud: entra.Cloud(), HTTPClient: httpClient, Cache: cache,
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Token(t.Context(), entra.API().Scope()); err != nil {
				t.Fatal(err)
			}
		}
		if got := sts.requests.Load(); got != 1 {
			t.Errorf("STS was asked %d times, want once", got)
		}
	})
}

// Many tenants at once ask STS once, or a few times.
func TestManyTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entra, sts := newChain(t)
		cfg := sts.config()
		var underWay, most atomic.Int32
		cfg.HTTPClient = doer(func(req *http.Request) (*http.Response, error) {
			most.Store(max(most.Load(), underWay.Add(1)))
			defer underWay.Add(-1)
			time.Sleep(100 * time.Millisecond)
			return sts.Do(req)
		})
		source := awsassertion.New(cfg, nil)
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if _, err := source.Assertion(t.Context(), apponly.AssertionRequest{Audience: entra.Cloud().ExchangeAudience()}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if sts.requests.Load() > 3 || most.Load() != 1 {
			t.Errorf("STS was asked %d times, %d at a time; want once or so", sts.requests.Load(), most.Load())
		}
	})
}
