// SPDX-License-Identifier: MIT

package recipes_test

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/golang-jwt/jwt/v5"
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

// claims are what the fake services read in a token.
type claims struct {
	jwt.RegisteredClaims
	AppID        string   `json:"azp"`
	Capabilities []string `json:"xms_cc"`
}

// verifier returns what checks a token as api must: the signature by the keys
// that sts publishes, the issuer, the audience, the times.
func verifier(sts *entratest.Server, api *entratest.Resource) func(token string) (claims, error) {
	tenant := sts.Cloud().Authority() + "/" + sts.Tenant().ID()
	resp, err := sts.HTTPClient().Get(tenant + "/discovery/v2.0/keys")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct{ Kid, N, E string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		log.Fatal(err)
	}
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.Keys {
		n, nErr := base64.RawURLEncoding.DecodeString(k.N)
		e, eErr := base64.RawURLEncoding.DecodeString(k.E)
		if err := errors.Join(nErr, eErr); err != nil {
			log.Fatal(err)
		}
		keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithIssuer(tenant+"/v2.0"),
		jwt.WithAudience(api.AppID()),
		jwt.WithExpirationRequired(),
	)
	return func(token string) (claims, error) {
		var c claims
		_, err := parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
			kid, _ := t.Header["kid"].(string)
			if keys[kid] == nil {
				return nil, fmt.Errorf("unknown key %q", kid)
			}
			return keys[kid], nil
		})
		return c, err
	}
}

// bearer returns what a request brings in place of a token, without the scheme
// Bearer: another scheme stays in front, for a verifier to refuse. "" is nothing.
func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// serveAPI serves then, over TLS, to who brings a good token for api. then may
// be nil.
func serveAPI(sts *entratest.Server, api *entratest.Resource, then http.HandlerFunc) *httptest.Server {
	verify := verifier(sts, api)
	return httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := verify(bearer(r))
		switch {
		case err != nil:
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case then != nil:
			then(w, r)
		default:
			fmt.Fprint(w, "hello, ", map[bool]string{true: "app", false: "stranger"}[c.AppID == sts.App().ClientID()])
		}
	}))
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
