// SPDX-License-Identifier: MIT

package recipes_test

import (
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/apponly/apponly"
)

// A byHost sends each request through the transport for its host, and refuses it
// where there is none.
//
// It only chooses. Each transport looks at the host again, and along a chain of
// redirects at every host before, so no mistake in the map sends a token to an
// API that it is not for.
type byHost struct {
	apis map[string]*apponly.Transport // by "host", or "host:port" if it is not 443, in lower case
	base http.RoundTripper             // for a redirect out of them, without a token
}

func (t byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if rt := t.apis[strings.TrimSuffix(strings.ToLower(req.URL.Host), ":443")]; rt != nil {
		return rt.RoundTrip(req)
	}
	if req.Response == nil { // no redirect: the program's own mistake
		if req.Body != nil {
			req.Body.Close() // as RoundTripper demands
		}
		return nil, fmt.Errorf("no scope is known for %s", req.URL.Host)
	}
	return t.base.RoundTrip(req)
}

func (t byHost) CloseIdleConnections() {
	(&http.Client{Transport: t.base}).CloseIdleConnections()
}

// A redirect from one of the APIs to another arrives there without a token: the
// transport of the second sees that somebody else has written the URL. Who wants
// to follow it with one sets CheckRedirect to return http.ErrUseLastResponse,
// looks at the Location, and makes a request of its own.
func Example_hosts() {
	sts, client := emulated()
	defer sts.Close()
	invoices := sts.Tenant().NewResource("api://invoices")
	ordersAPI := serveAPI(sts, sts.API(), func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "orders") })
	defer ordersAPI.Close()
	invoicesAPI := serveAPI(sts, invoices, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "invoices") })
	defer invoicesAPI.Close()

	base := ordersAPI.Client().Transport // trusts the fake APIs; in a program http.DefaultTransport
	apis := make(map[string]*apponly.Transport)
	for host, scope := range map[string]string{
		addr(ordersAPI):   sts.API().Scope(), // such as "graph.microsoft.com": "https://graph.microsoft.com/.default"
		addr(invoicesAPI): invoices.Scope(),
	} {
		rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{
			Base:  base,
			Hosts: []string{host},
		})
		if err != nil {
			log.Fatal(err)
		}
		apis[host] = rt
	}
	httpClient := &http.Client{Transport: byHost{apis, base}}

	for _, url := range []string{ordersAPI.URL, invoicesAPI.URL} {
		_, body, err := get(httpClient, url)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(body)
	}
	_, _, err := get(httpClient, "https://elsewhere.example/")
	fmt.Println(err)
	// Output:
	// orders
	// invoices
	// Get "https://elsewhere.example/": no scope is known for elsewhere.example
}
