// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/verify"
)

// A function is asked for tenants that Entra vouches for and no other rule lets in,
// and with what.
func TestTenantFuncIsAsked(t *testing.T) {
	k := newSigner("k1")
	type name struct{}
	var asked []string
	customers := func(c context.Context, tenant string) (bool, error) {
		if c.Value(name{}) != "request" {
			t.Error("the context is not the caller's")
		}
		asked = append(asked, tenant)
		return tenant == other, nil
	}
	v := open(t, serveKeys(k.entry()), []verify.Rule{
		{TenantFunc: customers, Roles: []string{"Orders.Write"}},
		{Tenant: tenant, Client: daemon},
	}, verify.Options{})
	const third = "99999999-1111-4111-8111-111111111111"
	for name_, tc := range map[string]struct {
		token string
		want  error
		asked []string
	}{
		"let in by a rule before it": {k.token(claims(nil)), nil, nil},
		"its own":                    {k.token(claims(of(other))), nil, []string{other}},
		"not its own":                {k.token(claims(of(third))), verify.ErrTenant, []string{third}},
		"without the role":           {k.token(claims(with(of(other), fields{"roles": []string{"Orders.Read"}}))), verify.ErrNotAllowed, []string{other}},
		"another app, same tenant":   {k.token(claims(fields{"azp": object, "roles": []string{"x"}})), verify.ErrNotAllowed, []string{tenant}},
		"forged":                     {damaged(k.token(claims(of(other)))), verify.ErrSignature, nil},
		"unknown key":                {newSigner("k2").token(claims(of(other))), verify.ErrUnknownKey, nil},
		"for another API":            {k.token(claims(with(of(other), fields{"aud": object}))), verify.ErrAudience, nil},
		"expired":                    {k.token(claims(with(of(other), fields{"exp": time.Now().Unix() - 100}))), verify.ErrExpired, nil},
		"another issuer":             {k.token(claims(fields{"tid": other})), verify.ErrIssuer, nil},
	} {
		for range 2 { // remembered or not
			asked = nil
			if err := expectCtx(t, context.WithValue(t.Context(), name{}, "request"), v, tc.token, tc.want); t.Failed() {
				t.Fatalf("%s: %v", name_, err)
			}
			if !slices.Equal(asked, tc.asked) {
				t.Errorf("%s: asked for %q, want %q", name_, asked, tc.asked)
			}
		}
	}
}

// That it fails is not a no, unless another rule says yes.
func TestTenantFuncFails(t *testing.T) {
	k := newSigner("k1")
	down := errors.New("the database is down")
	fails := func(context.Context, string) (bool, error) { return true, down }
	yes := func(context.Context, string) (bool, error) { return true, nil }
	no := func(context.Context, string) (bool, error) { return false, nil }
	for name, tc := range map[string]struct {
		rules []verify.Rule
		want  error
	}{
		"alone":                 {[]verify.Rule{{TenantFunc: fails, Client: daemon}}, verify.ErrTenantUnknown},
		"and a tenant says yes": {[]verify.Rule{{TenantFunc: fails, Client: daemon}, {Tenant: tenant, Client: daemon}}, nil},
		"before one":            {[]verify.Rule{{TenantFunc: fails, Client: daemon}, {TenantFunc: yes, Client: daemon}}, nil},
		"behind one":            {[]verify.Rule{{TenantFunc: yes, Client: daemon}, {TenantFunc: fails, Client: daemon}}, nil},
		"beside a no":           {[]verify.Rule{{TenantFunc: fails, Client: daemon}, {TenantFunc: no, Client: daemon}}, verify.ErrTenantUnknown},
	} {
		v := open(t, serveKeys(k.entry()), tc.rules, verify.Options{})
		err := expect(t, v, k.token(claims(nil)), tc.want)
		if e, ok := errors.AsType[*verify.Error](err); tc.want != nil && (!ok || !errors.Is(err, down) || !errors.Is(err, verify.ErrUnavailable) || e.TenantID != tenant) || t.Failed() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// It is asked by all callers at once, may take its time, and panic.
func TestTenantFuncConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		var calls atomic.Int64
		v := open(t, serveKeys(k.entry()), []verify.Rule{{TenantFunc: func(context.Context, string) (bool, error) {
			if calls.Add(1) == 1 {
				panic("a fault of the API's")
			}
			time.Sleep(time.Second)
			return true, nil
		}, Client: daemon}}, verify.Options{})
		token := k.token(claims(nil))
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is not the caller's")
				}
			}()
			_, _ = v.Verify(t.Context(), token)
		}()
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { expect(t, v, token, nil) })
		}
		wg.Wait()
		if d := time.Since(began); d != time.Second || calls.Load() != 51 {
			t.Errorf("%d calls in %v", calls.Load(), d)
		}
	})
}
