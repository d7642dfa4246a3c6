// SPDX-License-Identifier: MIT

package recipes_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// Three hosts, two of them with a scope; the path of a URL names the hosts to be
// redirected to in turn. Each chain starts with the token for its first host and
// goes on without one once it has left that.
func TestHostsRedirects(t *testing.T) {
	sts := entratest.New(t)
	client := newClient(sts, sts.HTTPClient())
	second := sts.Tenant().NewResource("")
	verifierA, verifierB := newVerifier(sts, sts.API()), newVerifier(sts, second)

	var hops []string // the hosts reached, each with whose token arrived
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		hop, token := r.URL.Host, bearer(r)
		if _, err := verifierA.Verify(r.Context(), token); err == nil {
			hop += " with A"
		} else if _, err := verifierB.Verify(r.Context(), token); err == nil {
			hop += " with B"
		} else if r.Header.Get("Authorization") != "" {
			hop += " with rubbish"
		}
		hops = append(hops, hop)
		// A base may put any request of its own there.
		resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: &http.Request{URL: r.URL}}
		if next := r.URL.Path[1:]; next != "" {
			resp.StatusCode = http.StatusFound
			resp.Header = http.Header{"Location": {"https://" + next}}
		}
		return resp, nil
	})
	apis := make(map[string]*apponly.Transport)
	for host, scope := range map[string]string{"a.test": sts.API().Scope(), "b.test": second.Scope()} {
		rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{Base: base, Hosts: []string{host}})
		if err != nil {
			t.Fatal(err)
		}
		apis[host] = rt
	}
	httpClient := &http.Client{Transport: byHost{apis, base}}

	for _, test := range []struct{ url, want string }{
		{"https://a.test/", "a.test with A"},
		{"https://b.test/", "b.test with B"},
		{"https://a.test:443/", "a.test:443 with A"},
		{"https://A.test/a.test/", "A.test with A, a.test with A"},
		{"https://a.test/b.test/", "a.test with A, b.test"},
		{"https://b.test/a.test/", "b.test with B, a.test"},
		{"https://a.test/b.test/b.test/", "a.test with A, b.test, b.test"},
		{"https://a.test/b.test/a.test/", "a.test with A, b.test, a.test"},
		{"https://a.test/c.test/", "a.test with A, c.test"},
		{"https://a.test/c.test/a.test/", "a.test with A, c.test, a.test"},
		{"https://a.test/c.test/b.test/", "a.test with A, c.test, b.test"},
		{"https://a.test/c.test/c.test/a.test/", "a.test with A, c.test, c.test, a.test"},
	} {
		hops = nil
		if _, _, err := get(httpClient, test.url); err != nil {
			t.Errorf("%s: %v", test.url, err)
		}
		if got := strings.Join(hops, ", "); got != test.want {
			t.Errorf("%s: %s, want %s", test.url, got, test.want)
		}
	}
}

// A wrong entry in the map is an error of the transport it names, and a request
// that is refused has its body closed.
func TestHostsRefusals(t *testing.T) {
	sts := entratest.New(t)
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent to %s", r.URL)
		return nil, errors.ErrUnsupported
	})
	rt, err := apponly.NewTransport(newClient(sts, sts.HTTPClient()), sts.API().Scope(), &apponly.TransportOptions{
		Base: base, Hosts: []string{"api.test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	apis := byHost{map[string]*apponly.Transport{"api.test": rt, "other.test": rt}, base}
	for _, test := range []struct{ url, want string }{
		{"https://other.test/", "refused to send a token"},
		{"http://api.test/", "refused to send a token"},
		{"https://api.test:8443/", "no scope is known for api.test:8443"},
		{"https://unknown.test/", "no scope is known for unknown.test"},
	} {
		body := &closed{Reader: strings.NewReader("twelve bolts")}
		resp, err := (&http.Client{Transport: apis}).Post(test.url, "text/plain", body)
		if err == nil {
			resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || !body.closed {
			t.Errorf("%s: %v, body closed: %v, want %q and true", test.url, err, body.closed, test.want)
		}
	}
	if n := sts.TokenRequests(); n != 0 {
		t.Errorf("%d token requests, want none", n)
	}
}

type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error {
	c.closed = true
	return nil
}

// http.Client calls it when it is told to, and go-retryablehttp tells it whenever it
// gives a request up.
func TestHostsCloseIdleConnections(t *testing.T) {
	base := &idleCloser{}
	(&http.Client{Transport: byHost{nil, base}}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("the base was told %d times, want once", base.closed)
	}
}

type idleCloser struct {
	http.RoundTripper
	closed int
}

func (c *idleCloser) CloseIdleConnections() { c.closed++ }
