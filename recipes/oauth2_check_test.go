// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"golang.org/x/oauth2"
)

// A day of requests over an hourly token, with an outage of Entra that begins
// while a token is good and ends before it ends. Without oauth2's cache nobody
// notices; the expiry passed on keeps even that cache from serving a dead token.
func TestOAuth2RefreshesAhead(t *testing.T) {
	for _, test := range []struct {
		name   string
		client func(ctx context.Context, src oauth2.TokenSource, base http.RoundTripper) *http.Client
		fails  bool
	}{
		{"as it is", func(_ context.Context, src oauth2.TokenSource, base http.RoundTripper) *http.Client {
			return &http.Client{Transport: &oauth2.Transport{Source: src, Base: base}}
		}, false},
		{"oauth2.NewClient", func(ctx context.Context, src oauth2.TokenSource, base http.RoundTripper) *http.Client {
			return oauth2.NewClient(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: base}), src)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := entratest.New(t)
				sts.SetTokenLifetime(time.Hour)
				sts.SetRefreshIn(30 * time.Minute)
				verifier := newVerifier(sts, sts.API())
				// Entra is away from 58 to 62 minutes past the start.
				start := time.Now()
				away := func() bool {
					past := time.Since(start)
					return past > 58*time.Minute && past < 62*time.Minute
				}
				memory := sts.HTTPClient().Transport
				client := newClient(sts, &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if away() {
						return nil, errors.New("no route to host")
					}
					return memory.RoundTrip(r)
				})})
				api := roundTripper(func(r *http.Request) (*http.Response, error) {
					if _, err := verifier.Verify(r.Context(), bearer(r)); err != nil {
						t.Errorf("after %v: the API got a bad token: %v", time.Since(start), err)
					}
					return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
				})
				httpClient := test.client(t.Context(), tokenSource{t.Context(), client, sts.API().Scope()}, api)

				failed := 0
				for range 24 * 60 {
					if _, _, err := get(httpClient, "https://api.test/"); err != nil {
						if !errors.Is(err, apponly.ErrUnreachable) {
							t.Errorf("after %v: %v", time.Since(start), err)
						}
						failed++
					}
					time.Sleep(time.Minute)
				}
				if (failed > 0) != test.fails {
					t.Errorf("%d requests failed, want some: %v", failed, test.fails)
				}
			})
		})
	}
}

// The context of the source ends a wait, since that of the request cannot.
func TestOAuth2SourceEndsWithItsContext(t *testing.T) {
	sts := entratest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	source := tokenSource{ctx, newClient(sts, unanswered()), sts.API().Scope()}
	time.AfterFunc(10*time.Millisecond, cancel)
	if token, err := source.Token(); token != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Token = %v, %v, want %v", token, err, context.Canceled)
	}
}
