// SPDX-License-Identifier: MIT

package recipes_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// traced returns a client of the recipe, and its spans. Each is named after all
// the headers that OpenTelemetry is shown.
func traced(t *testing.T, client *apponly.Client, scope string, api *httptest.Server) (*http.Client, *tracetest.InMemoryExporter) {
	t.Helper()
	rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{
		Base:  api.Client().Transport,
		Hosts: []string{addr(api)},
	})
	if err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewInMemoryExporter()
	return &http.Client{Transport: otelhttp.NewTransport(rt,
		otelhttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return fmt.Sprint(r.Header) }),
	)}, spans
}

func TestOtelHTTPOneSpanWithoutToken(t *testing.T) {
	sts := entratest.New(t)
	verifier := newVerifier(sts, sts.API())
	var tokens, parents []string
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := verifier.Verify(r.Context(), bearer(r)); err != nil {
			t.Errorf("request %d: %v", len(tokens)+1, err)
		}
		tokens = append(tokens, bearer(r))
		parents = append(parents, r.Header.Get("Traceparent"))
		if len(tokens) == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	httpClient, spans := traced(t, newClient(sts, sts.HTTPClient()), sts.API().Scope(), api)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Order", "12")
	resp, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status = %d, want 200", resp.StatusCode)
	}
	if len(tokens) != 2 || tokens[0] == tokens[1] {
		t.Fatalf("the API got %d requests, want two with different tokens", len(tokens))
	}
	got := spans.GetSpans()
	if len(got) != 1 {
		t.Fatalf("%d spans, want one for the request and its second sending", len(got))
	}
	if id := got[0].SpanContext.SpanID().String(); !strings.Contains(parents[0], id) || parents[0] != parents[1] {
		t.Errorf("sent with the parents %q, want span %s in both", parents, id)
	}
	text := fmt.Sprintf("%+v", got)
	if !strings.Contains(text, "127.0.0.1") || !strings.Contains(text, "X-Order") {
		t.Fatalf("a span prints as %s, without the attributes and headers that are to be looked at", text)
	}
	for _, token := range tokens {
		if strings.Contains(text, token) || strings.Contains(text, strings.Split(token, ".")[2]) {
			t.Error("the span holds a token")
		}
	}
}

// A request that got no token is a failed one.
func TestOtelHTTPShowsAMissingToken(t *testing.T) {
	sts := entratest.New(t)
	client := newClient(sts, sts.HTTPClient())
	sts.App().RemoveSecret(sts.Secret())
	api := serveAPI(sts, sts.API(), nil)
	defer api.Close()
	httpClient, spans := traced(t, client, sts.API().Scope(), api)

	if _, _, err := get(httpClient, api.URL); !errors.Is(err, apponly.ErrSecretInvalid) {
		t.Errorf("error = %v, want %v", err, apponly.ErrSecretInvalid)
	}
	got := spans.GetSpans()
	if len(got) != 1 || got[0].Status.Code != codes.Error {
		t.Fatalf("spans = %+v, want one with an error", got)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, sts.Secret()) {
		t.Error("the span holds the secret")
	}
}

// Around the transport as within it, a chain of redirects that has left the
// hosts does not get a token by coming back.
func TestOtelHTTPKeepsTheRedirectRule(t *testing.T) {
	sts := entratest.New(t)
	var api *httptest.Server
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) != "" {
			t.Error("a token left the hosts")
		}
		http.Redirect(w, r, api.URL+"/back", http.StatusFound)
	}))
	defer elsewhere.Close()
	back := false
	api = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/back" {
			if bearer(r) == "" {
				t.Error("no token at the start")
			}
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			return
		}
		back = true
		if bearer(r) != "" {
			t.Error("a token came to where another host has sent the client")
		}
	}))
	defer api.Close()
	httpClient, spans := traced(t, newClient(sts, sts.HTTPClient()), sts.API().Scope(), api)
	if _, _, err := get(httpClient, api.URL); err != nil {
		t.Fatal(err)
	}
	if n := len(spans.GetSpans()); !back || n != 3 {
		t.Errorf("came back: %v, with %d spans, want three hops", back, n)
	}
}
