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
