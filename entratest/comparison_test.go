// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

type comparison = entratest.Comparison

// compared sends a form to a tenant, and returns what the record says was compared.
func compared(t *testing.T, s *entratest.Server, tenant string, form url.Values) []comparison {
	t.Helper()
	postForm(t, s, tenant, form)
	log := s.Requests()
	return log[len(log)-1].Comparisons
}

func with(form url.Values, name, value string) url.Values {
	form.Set(name, value)
	return form
}

func sha1Name(c *entratest.Certificate) string {
	sum := sha1.Sum(c.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func thumbprint(c *entratest.Certificate) string {
	sum := sha256.Sum256(c.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// What is recorded of requests in the state that New makes, value beside value.
func TestComparisons(t *testing.T) {
	s := entratest.New(t)
	home, app, api := s.Tenant().ID(), s.App().ClientID(), s.API()
	s.AddTenant("customer.example")
	day := time.Date(2020, 1, 31, 0, 0, 0, 0, time.UTC)
	s.App().AddSecret("a~former=secret", day)
	s.App().AddSecretDates("a~later=secret", day.AddDate(80, 0, 0), day.AddDate(81, 0, 0))
	first := fmt.Sprintf("secret 1 of 3, until %s", aroundNow)
	second, third := "secret 2 of 3, until 2020-01-31T00:00:00Z", "secret 3 of 3, from 2100-01-31T00:00:00Z until 2101-01-31T00:00:00Z"
	leaf := s.Certificate().Leaf
	cert := fmt.Sprintf("certificate 1 of 1, %s, from %s until %s", leaf.Subject, leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
	other := s.AddTenant().NewApp().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	iss, aud := s.Issuer().URL(), exchange(s)
	token := func(c entratest.Claims) url.Values { return assertionForm(s, s.Issuer().Token(c)) }
	bySecret := comparison{What: "secret", Sent: "(hidden)", Want: []string{first}, Matched: true}
	for name, tt := range map[string]struct {
		tenant string
		form   url.Values
		want   []comparison
	}{
		"a secret":      {home, secretForm(s), []comparison{bySecret}},
		"wrong":         {home, with(secretForm(s), "client_secret", "x"), []comparison{{What: "secret", Sent: "(hidden)", Want: []string{first, second, third}}}},
		"with a line":   {home, with(secretForm(s), "client_secret", s.Secret()+"\n"), []comparison{{What: "secret", Sent: "(hidden)", Want: []string{first + ": it is this one but for white space around it"}}}},
		"escaped twice": {home, with(secretForm(s), "client_secret", "a%7Elater%3Dsecret"), []comparison{{What: "secret", Sent: "(hidden)", Want: []string{third + ": it is this one but for having been escaped twice"}}}},
		"expired":       {home, with(secretForm(s), "client_secret", "a~former=secret"), []comparison{{What: "lifetime", Sent: aroundNow, Want: []string{second}}}},
		"early":         {home, with(secretForm(s), "client_secret", "a~later=secret"), []comparison{{What: "lifetime", Sent: aroundNow, Want: []string{third}}}},

		"tenant":   {"nobody.example", secretForm(s), []comparison{{What: "tenant", Sent: "nobody.example", Want: nil}}},
		"resource": {home, with(secretForm(s), "scope", "https://x.test/.default"), []comparison{bySecret, {What: "resource", Sent: "https://x.test", Want: []string{api.URI()}}}},
		"scope":    {home, with(secretForm(s), "scope", "https://x.test/read"), []comparison{{What: "scope", Sent: "https://x.test/read", Want: []string{"RESOURCE/.default"}}}},
		"app":      {home, with(secretForm(s), "client_id", home), []comparison{{What: "client_id", Sent: home, Want: []string{app}}}},
		"grant":    {home, with(secretForm(s), "grant_type", "password"), []comparison{{What: "grant_type", Sent: "password", Want: []string{"client_credentials"}}}},
		"two":      {home, with(secretForm(s), "client_assertion", "x"), []comparison{{What: "credential", Sent: "a secret and an assertion", Want: []string{"one of the two"}}}},

		"a certificate": {home, assertionForm(s, selfSigned(s, nil)), []comparison{{What: "certificate", Sent: thumbprint(s.Certificate()), Want: []string{cert}, Matched: true}}},
		"kid":           {home, assertionForm(s, signedWith(s, other, other.Key, namedBy("kid", sha1Name(other)))), []comparison{{What: "kid", Sent: sha1Name(other), Want: []string{sha1Name(s.Certificate())}}}},
		"other":         {home, assertionForm(s, signedWith(s, other, other.Key, nil)), []comparison{{What: "x5t#S256", Sent: thumbprint(other), Want: []string{thumbprint(s.Certificate())}}}},
		"other key":     {home, assertionForm(s, signedWith(s, s.Certificate(), other.Key, nil)), []comparison{{What: "signature", Sent: "by another key", Want: []string{"by that of " + cert}}}},
		"aud": {home, assertionForm(s, selfSigned(s, func(_ *jwt.Token, c jwt.MapClaims) { c["aud"] = "https://x.test" })),
			[]comparison{{What: "aud", Sent: "https://x.test", Want: []string{s.Cloud().TokenEndpoint(home), s.Cloud().Authority() + "/" + home + "/oauth2/token"}}}},
		"exp": {home, assertionForm(s, selfSigned(s, func(_ *jwt.Token, c jwt.MapClaims) { c["nbf"], c["exp"] = day.Unix()-600, day.Unix() })),
			[]comparison{{What: "lifetime", Sent: "from 2020-01-30T23:50:00Z until 2020-01-31T00:00:00Z", Want: []string{aroundNow + ", the time here, give or take 5m0s"}}}},

		"federated": {home, assertionForm(s, s.FederatedToken()), []comparison{
			{"iss", iss, []string{iss}, true}, {"aud", aud, []string{aud}, true}, {"sub", demoSubject, []string{demoSubject}, true},
		}},
		"subject and audience": {home, token(entratest.Claims{Subject: "system:serviceaccount:demo:other", Audience: "sts"}), []comparison{
			{"iss", iss, []string{iss}, true}, {"aud", "sts", []string{aud}, false}, {"sub", "system:serviceaccount:demo:other", []string{demoSubject}, false},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := compared(t, s, tt.tenant, tt.form)
			for i, c := range got {
				got[i].Sent = undated(c.Sent)
				for j, want := range c.Want {
					got[i].Want[j] = undated(want)
				}
			}
			for i, c := range tt.want {
				tt.want[i].Sent = undated(c.Sent)
				for j, want := range c.Want {
					tt.want[i].Want[j] = undated(want)
				}
			}
			if name == "tenant" && len(got) == 1 { // of which there are more, of random IDs
				if !slices.Contains(got[0].Want, home) || !slices.Contains(got[0].Want, "customer.example") {
					t.Errorf("got %q", got[0].Want)
				}
				got[0].Want = nil
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// aroundNow stands for a time of this run.
const aroundNow = "(now)"

// undated puts aroundNow in place of the times around now.
func undated(text string) string {
	for y := -1; y <= 1; y++ {
		year := fmt.Sprint(time.Now().AddDate(y, 0, 0).Year())
		for {
			i := strings.Index(text, year+"-")
			if i < 0 || len(text) < i+len(time.RFC3339)-5 {
				break
			}
			text = text[:i] + aroundNow + text[i+len(time.RFC3339)-5:]
		}
	}
	return text
}

// Nothing that was sent in a wrong place is recorded.
func TestComparisonsHideSecrets(t *testing.T) {
	s := entratest.New(t)
	const canary = "Kq8Q~canary-secret.in_a+wrong=place"
	escaped := url.QueryEscape(canary)
	for _, name := range []string{"grant_type", "client_id", "client_secret", "scope", "client_assertion", "client_assertion_type", "claims", "resource", canary} {
		for _, tenant := range []string{s.Tenant().ID(), escaped, escaped + "/" + escaped} {
			for _, form := range []url.Values{secretForm(s), assertionForm(s, s.FederatedToken())} {
				form.Set(name, canary)
				postForm(t, s, tenant, form)
				form[name] = []string{canary, canary}
				postForm(t, s, tenant, form)
			}
		}
	}
	req := tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s))
	req.Header.Set("Content-Type", "canary/secret")
	if got, err := send(s.HTTPClient(), req); err != nil || got.status != http.StatusBadRequest {
		t.Fatal(got, err)
	}
	q := url.Values{"client_id": {canary}, "redirect_uri": {"https://x.test/?" + escaped}, "state": {canary}}
	if resp, err := s.HTTPClient().Get(s.Cloud().Authority() + "/organizations/adminconsent?" + q.Encode()); err != nil || resp.StatusCode == http.StatusOK {
		t.Fatal(resp, err)
	}
	data, err := json.Marshal(s.Requests())
	if err != nil || strings.Contains(strings.ToLower(string(data)), "canary") || len(s.Requests()) != 110 {
		t.Errorf("%v, %d requests: %s", err, len(s.Requests()), data)
	}
}

// Of a machine's identities, too, there are those that it has beside the one that is asked for.
func TestComparisonsOfIdentities(t *testing.T) {
	s := entratest.New(t)
	m := s.Tenant().NewManagedIdentity()
	ask := func(query string) []comparison {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Metadata", "true")
		if _, err := send(s.HTTPClient(), req); err != nil {
			t.Fatal(err)
		}
		log := s.Requests()
		return log[len(log)-1].Comparisons
	}
	notFound := comparison{What: "request", Sent: "Identity not found"}
	for query, want := range map[string][]comparison{
		"&client_id=" + s.App().ClientID(): {{"client_id", s.App().ClientID(), []string{m.ClientID()}, false}, notFound},
		"&object_id=a-canary":              {{"object_id", "(hidden)", []string{m.ObjectID()}, false}, notFound},
		"&msi_res_id=" + m.ResourceID() + "&client_id=canary": {
			{"client_id", "(hidden)", []string{m.ClientID()}, false}, {"msi_res_id", m.ResourceID(), []string{m.ResourceID()}, true}, notFound,
		},
	} {
		if got := ask(query); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %+v\nwant %+v", query, got, want)
		}
	}
}

// What is recorded is not the directory's, which goes on to change.
func TestComparisonsAreCopies(t *testing.T) {
	s := entratest.New(t)
	long := strings.Repeat("r", 1000)
	api := s.Tenant().NewResource("https://api.test", long, "Other")
	s.Tenant().SetAssignmentRequired(api, true)
	got := compared(t, s, s.Tenant().ID(), with(secretForm(s), "scope", api.Scope()))
	if len(got) != 2 || got[1].What != "roles" || len(got[1].Want) != 2 || len(got[1].Want[0]) > 300 {
		t.Fatalf("got %+v", got)
	}
	if roles := api.Roles(); roles[0] != long {
		t.Errorf("the role is now %q", roles[0])
	}
	api.RemoveRoles(long)
	if got[1].Want[1] != "Other" {
		t.Errorf("the record is now %+v", got)
	}
}

// The record stays small, however long the lists and the values are.
func TestComparisonsAreBounded(t *testing.T) {
	s := entratest.New(t)
	for range 20 {
		s.App().NewSecret(time.Now().Add(time.Hour))
	}
	got := compared(t, s, s.Tenant().ID(), with(secretForm(s), "client_secret", "x"))
	if len(got) != 1 || len(got[0].Want) != 7 || got[0].Want[6] != "and 15 more" {
		t.Errorf("of 21 secrets: %+v", got)
	}
	long := s.Issuer().Token(entratest.Claims{Subject: strings.Repeat("s", 100_000), Audience: strings.Repeat("a", 100_000)})
	data, _ := json.Marshal(compared(t, s, s.Tenant().ID(), assertionForm(s, long)))
	if len(data) > 2000 {
		t.Errorf("%d bytes of long claims", len(data))
	}
	for i := range 200 {
		s.AddTenant(fmt.Sprintf("d%d.example", i))
	}
	if got := compared(t, s, "nobody.example", secretForm(s)); len(got) != 1 || !slices.Equal(got[0].Want, []string{"one of 401 names"}) {
		t.Errorf("of many tenants: %+v", got)
	}
}
