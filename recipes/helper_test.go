// SPDX-License-Identifier: MIT

package recipes_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// emulated returns an emulated Entra and a client of its app. In a program
// apponly.FromEnv(nil) stands in its place.
func emulated() (*entratest.Server, *apponly.Client) {
	sts := entratest.NewServer()
	return sts, newClient(sts, sts.HTTPClient())
}

// newClient returns a client of the app of sts that asks over tokenLeg.
func newClient(sts *entratest.Server, tokenLeg *http.Client) *apponly.Client {
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud:      sts.Cloud(),
		HTTPClient: tokenLeg,
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// unanswered returns the way to an Entra that never answers.
func unanswered() *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
}

// answer returns the way to an Entra that always answers the same, and says that
// it will for an hour.
func answer(status int, body string) *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status,
			Header:     http.Header{"Content-Type": {"application/json"}, "Retry-After": {"3600"}},
			Body:       io.NopCloser(strings.NewReader(body)),
			Request:    r,
		}, nil
	})}
}

// newVerifier returns what lets the app of sts in at api, and nobody else.
func newVerifier(sts *entratest.Server, api *entratest.Resource) *verify.Verifier {
	v, err := verify.New(api.AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Client: sts.App().ClientID()},
	}, &verify.Options{
		Cloud:         sts.Cloud(),
		HTTPClient:    sts.HTTPClient(),
		RequireIDType: true,
		Leeway:        -1, // no recipe may send a token that has expired
	})
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// bearer returns what a request brings in place of a token, without the scheme
// Bearer: another scheme stays in front, for a verifier to refuse. "" is nothing.
func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// serveAPI serves then, over TLS, to the app of sts with a good token for api. then
// may be nil.
func serveAPI(sts *entratest.Server, api *entratest.Resource, then http.HandlerFunc) *httptest.Server {
	if then == nil {
		then = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello, app") }
	}
	return httptest.NewTLSServer(newVerifier(sts, api).Middleware(then))
}

// calling returns what calls api with tokens of client for scope.
func calling(client *apponly.Client, scope string, api *httptest.Server) *http.Client {
	rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{
		Base:  api.Client().Transport, // trusts the fake API
		Hosts: []string{addr(api)},
	})
	if err != nil {
		log.Fatal(err)
	}
	return &http.Client{Transport: rt}
}

// addr returns the address of a server, as TransportOptions.Hosts want it.
func addr(s *httptest.Server) string { return s.Listener.Addr().String() }

// get returns the status and the body of an answer.
func get(client *http.Client, url string) (int, string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// localTLS returns the certificate for a server on 127.0.0.1 or example.com, and
// the pool that trusts it.
func localTLS() (tls.Certificate, *x509.CertPool) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}
