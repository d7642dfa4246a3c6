// SPDX-License-Identifier: MIT

package apponlyotel_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
)

// A token from its first failed request through its life to an outage and out of it.
func TestWatchAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		b.SetTokenLifetime(time.Hour)
		c := b.client()
		b.Watch(c)
		about := "{client_id=" + c.ClientID() + " scope=" + b.API().Scope() + "}"
		for name := range b.series() {
			if strings.HasPrefix(name, "token.") || strings.HasPrefix(name, "credential.") {
				t.Errorf("%s is told of before anybody wants a token", name)
			}
		}

		stop := b.fail(entratest.Fault{Code: 7000215})
		c.Token(t.Context(), b.API().Scope())
		b.want("never had", map[string]float64{
			"token.ready" + about: 0, "token.failures" + about: 1, "token.remaining_lifetime" + about: 0,
		})
		stop()
		time.Sleep(time.Minute)
		tok := b.token(c)
		b.want("at hand", map[string]float64{
			"token.ready" + about: 1, "token.failures" + about: 0,
			"token.remaining_lifetime" + about: time.Until(tok.ExpiresOn()).Seconds(),
		})

		b.fail(entratest.Fault{Code: 7000215})
		time.Sleep(time.Until(tok.RefreshOn()))
		c.Token(t.Context(), b.API().Scope())
		synctest.Wait()
		b.want("not refreshed", map[string]float64{"token.ready" + about: 1, "token.failures" + about: 1})
		time.Sleep(time.Hour)
		b.want("ended", map[string]float64{
			"token.ready" + about: 0, "token.failures" + about: 1, "token.remaining_lifetime" + about: 0,
		})
		b.ClearFaults()
		b.token(c)
		b.want("back", map[string]float64{"token.ready" + about: 1, "token.failures" + about: 0})
	})
}

// KeepWarm wants its tokens at once, so that one that cannot be had is told of although
// nobody has needed it.
func TestKeepWarmMakesTheSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		b.fail(entratest.Fault{Code: 700016})
		c := b.client()
		b.Watch(c)
		go c.KeepWarm(t.Context(), b.API().Scope())
		about := "{client_id=" + c.ClientID() + " scope=" + b.API().Scope() + "}"
		time.Sleep(time.Second)
		for range 10 {
			if got := b.series(); got["token.failures"+about] < 1 || got["token.ready"+about] != 0 {
				t.Errorf("told: %v", got)
			}
			time.Sleep(time.Hour)
		}
	})
}

// Clients that go by the same names are one series, that of the worst token; those of
// another app are another.
func TestWatchSeveralClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{Tenants: []string{strings.ToUpper(b0Tenant)}})
		c := b.client()
		own, err := c.Tenant(b0Tenant)
		if err != nil {
			t.Fatal(err)
		}
		var views []*apponly.Client
		for _, id := range []string{"10000000-0000-0000-0000-000000000000", "20000000-0000-0000-0000-000000000000"} {
			v, err := c.Tenant(id)
			if err != nil {
				t.Fatal(err)
			}
			views = append(views, v)
		}
		for _, v := range append(views, own, c) {
			b.Watch(v)
		}
		b.token(c)
		scope := b.API().Scope()
		about := func(tenant string) string {
			return "{client_id=" + c.ClientID() + " scope=" + scope + " tenant_id=" + tenant + "}"
		}
		b.want("one of those that are not listed", map[string]float64{"token.ready" + about("other"): 1})
		views[1].Token(t.Context(), scope) // no such tenant
		own.Token(t.Context(), scope)
		b.want("one of them is refused", map[string]float64{
			"token.ready" + about("other"): 0, "token.failures" + about("other"): 1, "token.remaining_lifetime" + about("other"): 0,
			"token.ready" + about(b0Tenant): 0, "token.failures" + about(b0Tenant): 1,
		})
		tokens := 0
		for name := range b.series() {
			if strings.HasPrefix(name, "token.ready") {
				tokens++
			}
		}
		if tokens != 2 {
			t.Errorf("%d series of tokens, want 2", tokens)
		}

		another := b.Tenant().NewApp()
		secret := another.NewSecret(time.Now().Add(time.Hour))
		second, err := apponly.New(b.Tenant().ID(), another.ClientID(), apponly.Secret(secret), &apponly.Options{Cloud: b.Cloud(), HTTPClient: b.HTTPClient(), Cache: c.Cache()})
		if err != nil {
			t.Fatal(err)
		}
		b.Watch(second)
		b.token(second)
		b.want("of another app", map[string]float64{
			strings.ReplaceAll("token.ready"+about("other"), c.ClientID(), second.ClientID()): 1,
			"token.ready" + about("other"): 0,
		})
	})
}

const b0Tenant = "b0000000-0000-0000-0000-00000000000b"

// Counters never go down, whoever is watched, and a cache counts once.
func TestWatchCaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		c := b.client()
		same := b.client(func(o *apponly.Options) { o.Cache = c.Cache() })
		stops := []func(){b.Watch(c), b.Watch(same), b.Watch(c)}
		b.token(c)
		b.want("watched thrice", map[string]float64{
			"cache.exchanges{}": 1, "cache.entries{}": 1, "cache.evictions{}": 0, "shared.unavailable{}": 0,
			"shared.lookups{result=hit}": 0, "shared.lookups{result=miss}": 0, "shared.lookups{result=unavailable}": 0, "shared.lookups{result=rejected}": 0,
		})
		other := b.client()
		stop := b.Watch(other)
		b.token(other)
		b.want("two caches", map[string]float64{"cache.exchanges{}": 2, "cache.entries{}": 2})
		stop()
		stop()
		b.want("one is gone", map[string]float64{"cache.exchanges{}": 2, "cache.entries{}": 1})
		b.Watch(other)
		b.want("it is back", map[string]float64{"cache.exchanges{}": 2, "cache.entries{}": 2})
		for _, stop := range stops {
			stop()
		}
		b.want("the first is gone", map[string]float64{"cache.exchanges{}": 2, "cache.entries{}": 1})
		for name := range b.series() {
			if strings.HasPrefix(name, "token.failures") && !strings.Contains(name, other.ClientID()) {
				t.Errorf("%s is told of", name)
			}
		}
	})
}

// What is watched in spite of everything does no harm.
func TestWatchWhatIsNoClient(t *testing.T) {
	b := newBench(t, apponlyotel.Options{})
	for _, c := range []*apponly.Client{nil, new(apponly.Client)} {
		stop := b.Watch(c)
		b.series()
		stop()
	}
	apponlyotel.New(nil).Watch(nil)()
}

// A certificate ends some day, an assertion always does soon, a secret's end is not known.
func TestWatchCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		for range 2 {
			b.Watch(b.client())
		}
		t.Setenv("APPONLY_TEST_TOKEN", b.FederatedToken())
		secret, assertion := b.client(), b.clientWith(apponly.Federated(apponly.AssertionEnv("APPONLY_TEST_TOKEN")))
		cert := b.App().NewCertificate(time.Now(), time.Now().Add(10*24*time.Hour))
		certificate := b.clientWith(apponly.Certificate([]*x509.Certificate{cert.Leaf}, cert.Key, nil))
		name := "credential.remaining_lifetime{client_id=" + secret.ClientID() + "}"
		for _, c := range []*apponly.Client{secret, assertion} {
			b.token(c)
			b.Watch(c)
			if _, ok := b.series()[name]; ok {
				t.Error("the end of what is no certificate is told of")
			}
		}
		b.token(certificate)
		b.Watch(certificate)
		b.want("a certificate", map[string]float64{name: 10 * 24 * 60 * 60})
		time.Sleep(20 * 24 * time.Hour)
		certificate.Token(t.Context(), b.API().Scope())
		b.want("that has ended", map[string]float64{name: 0})
	})
}

// The clock that is off by most is told of, whatever its sign.
func TestWatchClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		for i, ahead := range []time.Duration{time.Minute, -time.Hour, 2 * time.Minute} {
			b.SetClockOffset(ahead)
			c := b.client()
			b.Watch(c)
			b.token(c)
			if i > 0 {
				b.want("off", map[string]float64{"clock.skew{}": (-time.Hour).Seconds()})
			}
		}
	})
}
