// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/apponly/apponly"
	"github.com/hashicorp/go-retryablehttp"
)

// retryPolicy is go-retryablehttp's own for what the API answers. By that one
// every error is worth another try, so an app without a valid secret would hold
// up each caller for the whole of the backoff. What is transient stays worth it:
// asking again is answered from memory until it makes sense.
func retryPolicy(ctx context.Context, resp *http.Response, err error) (bool, error) {
	for _, refused := range []error{apponly.ErrCredential, apponly.ErrConfiguration, apponly.ErrPolicy, apponly.ErrOther} {
		if errors.Is(err, refused) {
			return false, err
		}
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}

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
	retrying.CheckRetry = retryPolicy
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
