// SPDX-License-Identifier: MIT

package recipes_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/apponly/apponly"
	"github.com/hashicorp/go-retryablehttp"
)

// The transport goes inside: a retry asks it for a token again, which is in the
// cache, or another one if that has ended during the backoff; and a 401 is
// answered there, once, without using up a try. The other way round,
// go-retryablehttp would follow redirects and take the token along.
func Example_retryablehttp() {
	sts, client := emulated()
	defer sts.Close()
	tries := 0
	api := serveAPI(sts, sts.API(), func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries < 3 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "hello")
	})
	defer api.Close()

	rt, err := apponly.NewTransport(client, sts.API().Scope(), &apponly.TransportOptions{
		Base:  api.Client().Transport,
		Hosts: []string{addr(api)},
	})
	if err != nil {
		log.Fatal(err)
	}
	retrying := retryablehttp.NewClient()
	retrying.HTTPClient = &http.Client{Transport: rt}
	retrying.CheckRetry = apponly.RetryPolicy // by the default one a wrong secret costs 15 seconds
	retrying.Logger = nil
	retrying.RetryWaitMin = time.Millisecond // for the example only

	resp, err := retrying.Get(api.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s after %d tries, token requests: %d\n", body, tries, sts.TokenRequests())
	// Output: hello after 3 tries, token requests: 1
}
