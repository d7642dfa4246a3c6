// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/apponly/apponly"
	"golang.org/x/oauth2"
)

// A tokenSource is an oauth2.TokenSource with the tokens of a client, for
// libraries that take nothing else. For plain HTTP apponly.Transport does more:
//
//   - Token has no context, so one made beforehand serves all calls: no request
//     ends the wait for a token by its own deadline. Give this one the life of
//     whatever uses the source, and let the client's own limits end a wait.
//   - Nobody tells the source that a token was refused, and nobody asks where
//     oauth2.Transport sends it: to any host, also after a redirect.
type tokenSource struct {
	ctx    context.Context
	client *apponly.Client
	scope  string
}

func (s tokenSource) Token() (*oauth2.Token, error) {
	token, err := s.client.Token(s.ctx, s.scope)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token.Value(), TokenType: "Bearer", Expiry: token.ExpiresOn()}, nil
}

// The source goes into an oauth2.Transport as it is. Nothing that caches may be
// put around it, neither oauth2.ReuseTokenSource nor oauth2.NewClient, which
// does that unasked: it would hold on to one token until the end, past each
// refresh ahead of time, and so meet an outage of Entra without a token.
func Example_oauth2() {
	sts, client := emulated()
	defer sts.Close()
	api := serveAPI(sts, sts.API(), nil)
	defer api.Close()
	ctx := context.Background()

	httpClient := &http.Client{Transport: &oauth2.Transport{
		Source: tokenSource{ctx, client, sts.API().Scope()},
		Base:   api.Client().Transport,
	}}

	for range 3 {
		_, body, err := get(httpClient, api.URL)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(body)
	}
	fmt.Println("token requests:", sts.TokenRequests())
	// Output:
	// hello, app
	// hello, app
	// hello, app
	// token requests: 1
}
