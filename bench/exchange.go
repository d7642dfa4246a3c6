// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/apponly/apponly"
)

// exchange is what one token request costs beyond the network. The floor is a bare
// POST.
func exchange(r *run) ([]row, error) {
	s := &sts{}
	ctx := context.Background()
	// No more than a few entries, so that every tenant is asked for anew.
	ourClient, err := apponly.New(home, clientID, apponly.Secret(secret), &apponly.Options{
		AllowedTenants: []string{"*"}, Cache: apponly.NewCache(&apponly.CacheOptions{MaxEntries: 16}), HTTPClient: s.client(),
	})
	if err != nil {
		return nil, err
	}
	serial := 0
	our := func(n int) error {
		for range n {
			serial++
			c, err := ourClient.Tenant(fmt.Sprintf("33333333-3333-4333-8333-%012x", serial))
			if err == nil {
				_, err = c.Token(ctx, scope)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	cred, err := confidential.NewCredFromSecret(secret)
	if err != nil {
		return nil, err
	}
	msalClient, err := confidential.New("https://"+host+"/"+home, clientID, cred, confidential.WithHTTPClient(s.client()), confidential.WithInstanceDiscovery(false))
	if err != nil {
		return nil, err
	}
	msal := func(n int) error {
		for range n {
			// With claims it goes past its cache.
			if _, err := msalClient.AcquireTokenByCredential(ctx, []string{scope}, confidential.WithClaims(`{"access_token":{}}`)); err != nil {
				return err
			}
		}
		return nil
	}
	bare := func(n int) error {
		for range n {
			if _, _, err := (provider{s, tokenURL(home)}).ask(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	each := 4 * time.Second
	if r.short {
		each /= 4
	}
	results, err := compare(20*time.Millisecond, each, contender{"floor", []loop{bare}}, contender{ours.name, []loop{our}}, contender{"MSAL Go", []loop{msal}})
	if err != nil {
		return nil, err
	}
	line := newRow("one token request beyond the network, client and cache included (floor: a bare POST)")
	cell := func(r result) string { return fmt.Sprintf("%s, %.0f allocs", nanoseconds(r.ns), r.allocs) }
	floor, us, msals := results[0], results[1], results[2]
	line.floor = cell(floor)
	line.cells[ours.name] = fmt.Sprintf("**%s** (%.2f × floor), %.0f allocs", nanoseconds(us.ns), us.ns/floor.ns, us.allocs)
	line.cells["MSAL Go"] = fmt.Sprintf("%s (%s×), %.0f allocs", nanoseconds(msals.ns), ratio(msals.ns/us.ns), msals.allocs)
	return []row{line}, nil
}
