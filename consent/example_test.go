// SPDX-License-Identifier: MIT

package consent_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/consent"
	"github.com/apponly/apponly/entratest"
)

// A vendor takes customers on. Which tenant an account is of is known before: from its
// sign-in with Entra (tid of the ID token), or from a contract.
type vendor struct {
	flow     *consent.Flow
	client   *apponly.Client
	scope    string
	tenantOf map[string]string // by account
	takenOn  chan string       // tenants in which the app is; in a program, a table
}

// start sends the administrator to Entra, with the account as data.
func (v *vendor) start(w http.ResponseWriter, r *http.Request) {
	account := r.PathValue("account") // in a program, that of the session
	address, setCookie, err := v.flow.URL(v.tenantOf[account], account)
	if err != nil {
		http.Error(w, "this account has no tenant", http.StatusBadRequest)
		return
	}
	w.Header().Set("Set-Cookie", setCookie)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, address, http.StatusFound)
}

// finish is told what the browser brings back, and believes none of it: it goes by the
// tenant that was asked for, and by the token that comes or does not.
func (v *vendor) finish(w http.ResponseWriter, _ *http.Request, res consent.Result) {
	if res.Err != nil {
		http.Error(w, res.Err.Error(), http.StatusForbidden)
		return
	}
	go func() { // nobody waits for minutes at a browser
		if err := v.firstToken(context.Background(), res.RequestedTenant); err != nil {
			log.Printf("account %s: %v", res.Data, err)
			return
		}
		v.takenOn <- res.RequestedTenant
	}()
	fmt.Fprintf(w, "account %s is being set up", res.Data)
}

// firstToken waits until Entra knows of the consent everywhere, for at most two minutes.
func (v *vendor) firstToken(ctx context.Context, tenant string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	view, err := v.client.Tenant(tenant)
	if err != nil {
		return err
	}
	// Force asks Entra although it has refused a moment ago, every 10 seconds at most.
	for pause := 10 * time.Second; ; pause = min(2*pause, 30*time.Second) {
		_, err := view.TokenFor(ctx, apponly.TokenRequest{Scope: v.scope, Force: true})
		if err == nil || errors.Is(err, apponly.ErrCredential) { // which no consent mends
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// A customer's administrator approves the app, and the customer is taken on once there is
// a token. Entra is emulated: the real one needs no HTTPClient.
func Example() {
	entra := entratest.NewServer()
	defer entra.Close()
	entra.SetCloud(cloud.Public)
	clientID := entra.App().ClientID()
	entra.App().AddRedirectURI("https://app.example/consent/callback")
	customer := entra.AddTenant("customer.example")
	customer.Provide(entra.API())

	key := make([]byte, 32) // in a program, one that all replicas have
	rand.Read(key)
	flow, err := consent.New(consent.Config{
		ClientID: clientID, RedirectURL: "https://app.example/consent/callback",
		Scope: "https://graph.microsoft.com/.default", Keys: [][]byte{key},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := apponly.New(entra.Tenant().ID(), clientID, apponly.Secret(entra.Secret()), &apponly.Options{
		HTTPClient:     entra.HTTPClient(),
		AllowedTenants: []string{"*"}, // they come from the table of customers, never from a request
	})
	if err != nil {
		log.Fatal(err)
	}
	v := &vendor{flow: flow, client: client, scope: "https://graph.microsoft.com/.default", takenOn: make(chan string, 1),
		tenantOf: map[string]string{"42": customer.ID()}}

	web := http.NewServeMux()
	web.HandleFunc("GET /accounts/{account}/connect", v.start)
	web.Handle("GET /consent/callback", flow.Callback(v.finish))

	said, err := approve(newBrowser(entra, web), "https://app.example/accounts/42/connect")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(said)
	fmt.Println("taken on:", <-v.takenOn == customer.ID())
	// Output:
	// account 42 is being set up
	// taken on: true
}
