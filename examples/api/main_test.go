// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
	"github.com/apponly/apponly/internal/memhttp"
	"github.com/apponly/apponly/verify"
)

func TestTour(t *testing.T) {
	tmp := kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		var out kittest.Output
		if err := tour(t.Context(), &out, entra); err != nil {
			t.Fatalf("tour: %v\n%s", err, &out)
		}
		const told, says = "  the caller is told: ", "  the API's log says: "
		forbidden := told + `403 Forbidden Bearer realm="", error="insufficient_scope"` + "\n"
		kittest.WantLines(t, out.String(),
			"A probe at start-up", told+"200 OK\n", says+"nothing",
			"on the list", told+"200 OK the orders of tenant "+entra.Tenant().ID(), says, "orders read", `caller.roles=""`,
			"no role for this route", forbidden, says,
			"has the role", told+"200 OK", says, "caller.roles=Orders.Read",
			"has neither", forbidden, says, "reason.kind=not_allowed", verify.ErrNotAllowed.Remedy(),
			"An app of a customer's", told+"200 OK the orders of tenant ", says, "orders read",
			"granted themselves the role", forbidden, says, "reason.kind=tenant ",
			"two hours ago", told+"401 Unauthorized", `error="invalid_token"`, says, "reason.kind=expired",
			"is revoked", told+"200 OK", says, "reason.kind=revoked", "orders read",
		)
		kittest.WantNoSecrets(t, out.String(), entra.Secret())
		if n := entra.Counters().Endpoints["keys"]; n != 2 {
			t.Errorf("the API fetched keys %d times, want once for its tenant and once for customers", n)
		}
	})
	kittest.WantEmpty(t, tmp)
}

func TestRun(t *testing.T) {
	kittest.Isolate(t)
	var out kittest.Output
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("run: %v\n%s", err, &out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("run with an ended context = %v, want context.Canceled", err)
	}
}

// What goes otherwise than shown is an error.
func TestTourFails(t *testing.T) {
	kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		if _, err := entra.AddFault(entratest.Fault{Endpoint: "keys", Status: http.StatusServiceUnavailable}); err != nil {
			t.Fatal(err)
		}
		var out kittest.Output
		err := tour(t.Context(), &out, entra)
		if err == nil || !strings.Contains(err.Error(), `keys": the API answered 503`) {
			t.Errorf("tour without keys = %v", err)
		}
		kittest.WantLines(t, out.String(), "503 Service Unavailable no signing keys yet", "msg=\"not ready\"", "status 503")
	})
}

// A database that cannot say whose customer it is lets nobody in, and nobody is
// told that they are refused.
func TestUnknownCustomers(t *testing.T) {
	kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		w := &world{entra: entra, api: entra.Tenant().NewResource("api://orders", "Orders.Read")}
		a := &api{
			clientID: w.api.AppID(), tenantID: entra.Tenant().ID(), reports: entra.App().ClientID(),
			isCustomer: func(context.Context, string) (bool, error) { return false, errors.New("no database") },
			revoked:    func(context.Context, *verify.Caller) (time.Time, bool) { return time.Time{}, false },
			log:        w.log.logger(),
		}
		handler, err := a.handler(entra)
		if err != nil {
			t.Fatal(err)
		}
		w.wire = memhttp.New(handler)
		resp, err := w.call(t.Context(), entra.AddTenant(), "Orders.Read")()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if log := w.log.take(); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(log, "level=WARN") || !strings.Contains(log, "reason.kind=tenant_unknown") {
			t.Errorf("%s, Retry-After %q, log %s", resp.Status, resp.Header.Get("Retry-After"), log)
		}
	})
}
