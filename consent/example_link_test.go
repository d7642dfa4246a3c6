// SPDX-License-Identifier: MIT

package consent_test

import (
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/apponly/apponly/consent"
	"github.com/apponly/apponly/entratest"
)

// Whoever buys is often not who administers. A link goes by mail, to somebody who has no
// account here and opens it in another browser.
func ExampleConfig_link() {
	entra := entratest.NewServer()
	defer entra.Close()
	const redirect = "https://app.example/consent/mailed"
	entra.App().AddRedirectURI(redirect)
	customer := entra.AddTenant("customer.example")
	customer.Provide(entra.API())

	key := make([]byte, 32) // in a program, one that all replicas have
	rand.Read(key)
	flow, err := consent.New(consent.Config{
		Cloud: entra.Cloud(), ClientID: entra.App().ClientID(), RedirectURL: redirect, Scope: entra.API().Scope(), Keys: [][]byte{key},
		Link: true, TTL: 24 * time.Hour, // a longer one needs a page of your own that makes a link when it is opened
	})
	if err != nil {
		log.Fatal(err)
	}
	address, _, err := flow.URL(customer.ID(), "order 7")
	if err != nil {
		log.Fatal(err)
	}

	// It may be opened twice, and by anybody whom the mail is forwarded to: what follows
	// does no harm when it is done again.
	orders := map[string]string{}
	web := http.NewServeMux()
	web.Handle("GET /consent/mailed", flow.Callback(func(w http.ResponseWriter, _ *http.Request, res consent.Result) {
		if res.Err != nil {
			http.Error(w, res.Err.Error(), http.StatusForbidden)
			return
		}
		orders[res.Data] = res.RequestedTenant // to be asked for a token, as in the other example
		fmt.Fprintf(w, "Thank you. We go on with %s.", res.Data)
	}))
	for range 2 {
		said, err := approve(newBrowser(entra, web), address)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(said)
	}
	fmt.Println(len(orders), "order")
	// Output:
	// Thank you. We go on with order 7.
	// Thank you. We go on with order 7.
	// 1 order
}
