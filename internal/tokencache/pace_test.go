// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
)

// The gap between rejections grows while nothing comes of them, and a token that came
// ends that: the next rejection begins anew.
func TestGapAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, down, lifetime := 0, false, time.Hour
		f := &fake{fetch: func(context.Context, tokencache.Request) (tokencache.Grant, error) {
			n++
			if down {
				return tokencache.Grant{}, errors.New("down")
			}
			return granted(fmt.Sprint(n), lifetime), nil
		}}
		v := &tokencache.View{Identity: f.identity(new(tokencache.Cache)), Tenant: "t"}
		token := func(a tokencache.Ask) *tokencache.Token {
			a.Scope = "s"
			tok, _ := v.Get(t.Context(), a)
			return tok
		}
		rejected := func(tok *tokencache.Token) tokencache.Ask { return tokencache.Ask{Rejected: tok} }
		first := token(tokencache.Ask{})
		down = true
		for _, gap := range []time.Duration{10, 20, 40} {
			token(rejected(first))
			time.Sleep(gap * time.Second)
		}
		down, lifetime = false, time.Minute
		if token(rejected(first)) == nil || n != 5 {
			t.Fatalf("%d requests, want the first, three that failed and one that did not", n)
		}
		time.Sleep(time.Minute)
		other := token(tokencache.Ask{}) // within the gap, which is 80 s by now
		time.Sleep(21 * time.Second)
		another := token(rejected(other))
		time.Sleep(11 * time.Second)
		if token(rejected(another)); n != 8 {
			t.Errorf("%d requests, want one for each of two rejections", n-6)
		}
	})
}

// A server's word to requests that bypass the cache outlasts an ordinary success.
func TestServersWordStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, busy := 0, false
		f := &fake{fetch: func(context.Context, tokencache.Request) (tokencache.Grant, error) {
			if n++; busy {
				return tokencache.Grant{}, failure{text: "busy", passing: true, after: time.Hour}
			}
			return granted(fmt.Sprint(n), time.Minute), nil
		}}
		v := &tokencache.View{Identity: f.identity(new(tokencache.Cache)), Tenant: "t"}
		first, err := v.Get(t.Context(), tokencache.Ask{Scope: "s"})
		if err != nil {
			t.Fatal(err)
		}
		busy = true
		v.Get(t.Context(), tokencache.Ask{Scope: "s", Rejected: first})
		busy = false
		time.Sleep(2 * time.Minute)
		second, err := v.Get(t.Context(), tokencache.Ask{Scope: "s"})
		if err != nil {
			t.Fatal(err)
		}
		if v.Get(t.Context(), tokencache.Ask{Scope: "s", Rejected: second}); n != 3 {
			t.Errorf("%d requests, want 3: the server wants an hour's rest from rejections", n)
		}
	})
}

// Who has forced a request that another one was joined for, and which fails, gets the
// token that a challenge has brought meanwhile.
func TestForcedRequestThatIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fetch: func(_ context.Context, req tokencache.Request) (tokencache.Grant, error) {
			if req.Claims == "" {
				time.Sleep(10 * time.Second)
				return tokencache.Grant{}, errors.New("down")
			}
			time.Sleep(time.Second)
			return granted("for claims", time.Hour), nil
		}}
		v := &tokencache.View{Identity: f.identity(new(tokencache.Cache)), Tenant: "t"}
		for _, a := range []tokencache.Ask{{}, {Claims: "{}"}} {
			a.Scope = "s"
			go v.Get(t.Context(), a)
			synctest.Wait()
		}
		if _, err := v.Get(t.Context(), tokencache.Ask{Scope: "s", Force: true}); err != nil {
			t.Errorf("%v, while there is a token", err)
		}
	})
}
