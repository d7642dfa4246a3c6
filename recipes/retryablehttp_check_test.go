// SPDX-License-Identifier: MIT

package recipes_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/hashicorp/go-retryablehttp"
)

// retrying returns a client of the recipe and what counts its tries.
func retrying(t *testing.T, client *apponly.Client, scope string, api *httptest.Server) (c *retryablehttp.Client, tries *int) {
	t.Helper()
	rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{
		Base:  api.Client().Transport,
		Hosts: []string{addr(api)},
	})
	if err != nil {
		t.Fatal(err)
	}
	tries = new(int)
	c = retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: rt}
	c.CheckRetry = apponly.RetryPolicy
	c.Logger = nil
	c.RetryWaitMin, c.RetryWaitMax = time.Millisecond, time.Millisecond
	c.RequestLogHook = func(retryablehttp.Logger, *http.Request, int) { *tries++ }
	return c, tries
}

// A token is revoked between two tries of a request with a body.
func TestRetryableHTTPLeavesA401ToTheTransport(t *testing.T) {
	sts := entratest.New(t)
	verifier := newVerifier(sts, sts.API())
	const body = "twelve bolts"
	var tokens []string
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || string(b) != body {
			t.Errorf("request %d has the body %q, %v, want %q", len(tokens)+1, b, err, body)
		}
		if _, err := verifier.Verify(r.Context(), bearer(r)); err != nil {
			t.Errorf("request %d: %v", len(tokens)+1, err)
		}
		tokens = append(tokens, bearer(r))
		switch {
		case len(tokens) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case bearer(r) == tokens[0]:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	c, tries := retrying(t, newClient(sts, sts.HTTPClient()), sts.API().Scope(), api)
	var seen []int
	c.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		seen = append(seen, resp.StatusCode)
		return apponly.RetryPolicy(ctx, resp, err)
	}

	resp, err := c.Post(api.URL, "text/plain", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []int{503, 200}; !slices.Equal(seen, want) || *tries != 2 {
		t.Errorf("the retry policy saw %v in %d tries, want %v in 2", seen, *tries, want)
	}
	if len(tokens) != 3 || tokens[0] != tokens[1] || tokens[1] == tokens[2] || sts.TokenRequests() != 2 {
		t.Errorf("the API got %d requests with %d tokens issued, want 3 with the tokens A, A, B", len(tokens), sts.TokenRequests())
	}
}

// What only a person can correct is told at once; what passes is tried again.
func TestRetryableHTTPTokenErrors(t *testing.T) {
	for _, test := range []struct {
		name     string
		tokenLeg func(*entratest.Server) *http.Client
		url      string // "": the API's
		want     apponly.Kind
		tries    int
	}{
		{"secret taken away", func(sts *entratest.Server) *http.Client {
			sts.App().RemoveSecret(sts.Secret())
			return sts.HTTPClient()
		}, "", apponly.ErrSecretInvalid, 1},
		{"a refusal without a name", func(*entratest.Server) *http.Client {
			return answer(http.StatusBadRequest, `{"error":"something_new"}`)
		}, "", apponly.ErrOther, 1},
		{"a host that gets no token", (*entratest.Server).HTTPClient, "https://elsewhere.test/", apponly.ErrConfiguration, 1},
		{"throttled", func(*entratest.Server) *http.Client { return answer(http.StatusTooManyRequests, "") }, "", apponly.ErrThrottled, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			sts := entratest.New(t)
			api := serveAPI(sts, sts.API(), nil)
			defer api.Close()
			c, tries := retrying(t, newClient(sts, test.tokenLeg(sts)), sts.API().Scope(), api)
			url := test.url
			if url == "" {
				url = api.URL
			}
			resp, err := c.Get(url)
			if err == nil {
				resp.Body.Close()
			}
			if !errors.Is(err, test.want) || *tries != test.tries {
				t.Errorf("%v after %d tries, want %v after %d", err, *tries, test.want, test.tries)
			}
		})
	}
}
