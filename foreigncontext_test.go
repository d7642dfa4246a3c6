// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
)

// A foreign context panics in one of its methods, or in all.
type foreignCtx struct {
	context.Context
	panics string
}

func (c foreignCtx) check(method string) {
	if c.panics == method || c.panics == "all" {
		panic("the context's own fault")
	}
}

func (c foreignCtx) Value(key any) any           { c.check("Value"); return c.Context.Value(key) }
func (c foreignCtx) Err() error                  { c.check("Err"); return c.Context.Err() }
func (c foreignCtx) Done() <-chan struct{}       { c.check("Done"); return c.Context.Done() }
func (c foreignCtx) Deadline() (time.Time, bool) { c.check("Deadline"); return c.Context.Deadline() }

var foreignMethods = []string{"Value", "Err", "Done", "Deadline", "all"}

// A context that panics is an error or none, in whichever goroutine it is called.
// Without one that recovers the process ends.
func TestForeignContexts(t *testing.T) {
	for _, panics := range foreignMethods {
		for name, call := range map[string]func(ctx context.Context, s *sts, c *apponly.Client) error{
			"Token": func(ctx context.Context, s *sts, c *apponly.Client) error {
				_, err := c.Token(ctx, s.API().Scope())
				return err
			},
			"TokenFor": func(ctx context.Context, s *sts, c *apponly.Client) error {
				_, err := c.TokenFor(ctx, apponly.TokenRequest{Scope: s.API().Scope(), Force: true})
				return err
			},
			"Warm": func(ctx context.Context, s *sts, c *apponly.Client) error {
				return c.Warm(ctx, s.API().Scope())
			},
			"KeepWarm": func(ctx context.Context, s *sts, c *apponly.Client) error {
				err := c.KeepWarm(ctx, s.API().Scope())
				if err != nil && ctx.(foreignCtx).Context.Err() != nil {
					return nil // as it should, in the end
				}
				return err
			},
			"Transport": func(ctx context.Context, s *sts, c *apponly.Client) error {
				rt, err := apponly.NewTransport(c, s.API().Scope(), &apponly.TransportOptions{
					Hosts: []string{"api.test"},
					Base: roundTripper(func(r *http.Request) (*http.Response, error) { // has a context of its own
						return memhttp.New(&api{good: func(string) bool { return false }, claims: "not JSON"}).RoundTrip(r.WithContext(context.Background()))
					}),
				})
				if err != nil {
					return err
				}
				r, _ := http.NewRequest("GET", "https://api.test/", nil)
				_, err = rt.RoundTrip(r.WithContext(ctx))
				return err
			},
			"a file": func(ctx context.Context, s *sts, c *apponly.Client) error {
				other := s.with(t, apponly.SecretFile("/no/such/file"))
				for range 2 { // the second time it is looked at
					_, err := other.Token(ctx, s.API().Scope())
					if !errors.Is(err, apponly.ErrCredentialUnavailable) {
						return err
					}
					time.Sleep(2 * time.Second)
				}
				return nil
			},
		} {
			t.Run(panics+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSTS(t)
					o := s.options()
					o.OnEvent = func(ctx context.Context, _ apponly.Event) { ctx.Value("span") }
					c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err = call(foreignCtx{ctx, panics}, s, c)
					if ended := panics == "Err" || panics == "Done" || panics == "all"; err != nil && !ended {
						t.Errorf("%v: no error of a method that nobody waits for", err)
					}
					mustToken(t, c, s.API().Scope())
					time.Sleep(2 * time.Minute)
				})
			})
		}
	}
}

// Package net looks values up in goroutines of its own.
func TestForeignContextOverTLS(t *testing.T) {
	s := entratest.New(t)
	_, pool := s.StartTLS()
	direct := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(direct.CloseIdleConnections)
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), &apponly.Options{
		Cloud: s.Cloud(), Cache: apponly.NewCache(nil), HTTPClient: &http.Client{Transport: direct},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Token(foreignCtx{t.Context(), "Value"}, s.API().Scope()); err != nil {
		t.Error(err)
	}
}
