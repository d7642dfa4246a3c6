// SPDX-License-Identifier: MIT

package entratest_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// condition is a state of the directory in which a request that is in order is
// refused. prepare brings it about; what it returns, if anything, chooses the
// request.
type condition struct {
	name    string
	prepare func(s *entratest.Server) edit
	code    int
	status  int
	error   string
}

// plain is for a condition that refuses the request as it is.
func plain(change func(s *entratest.Server)) func(*entratest.Server) edit {
	return func(s *entratest.Server) edit {
		change(s)
		return func(*wrongRequest) {}
	}
}

// customer is a tenant that uses the demo app and the demo API.
func customer(s *entratest.Server) *entratest.Tenant {
	t := s.AddTenant("customer.example")
	t.Install(s.App())
	t.Provide(s.API())
	return t
}

// in sends the request to another tenant.
func in(change func(s *entratest.Server, t *entratest.Tenant)) func(*entratest.Server) edit {
	return func(s *entratest.Server) edit {
		t := customer(s)
		change(s, t)
		return func(r *wrongRequest) { r.tenant = t.ID() }
	}
}

// fromIssuer sends an assertion of the demo issuer, made after or before the
// change.
func fromIssuer(change func(s *entratest.Server)) func(*entratest.Server) edit {
	return func(s *entratest.Server) edit {
		change(s)
		return withAssertion(s, s.FederatedToken())
	}
}

func beforeChange(change func(s *entratest.Server)) func(*entratest.Server) edit {
	return func(s *entratest.Server) edit {
		token := s.FederatedToken()
		change(s)
		return withAssertion(s, token)
	}
}

// identity sends the token of a managed identity in home, for resource, to an
// app that trusts fc; what fc leaves out is as it should be.
func identity(home func(*entratest.Server) *entratest.Tenant, resource func(*entratest.Server) string, fc entratest.FederatedCredential) func(*entratest.Server) edit {
	return func(s *entratest.Server) edit {
		tenant := home(s)
		m := tenant.NewManagedIdentity()
		fc := fc // the row is used again with -count
		fc.Issuer = strings.ReplaceAll(cmp.Or(fc.Issuer, s.Cloud().Authority()+"/{tenant}/v2.0"), "{tenant}", tenant.ID())
		fc.Audience = cmp.Or(fc.Audience, exchange(s))
		if fc.Subject = cmp.Or(fc.Subject, m.ObjectID()); fc.Subject == "UPPER" {
			fc.Subject = strings.ToUpper(m.ObjectID())
		}
		s.App().AddFederatedCredential(fc)
		token, _, code := s.IdentityToken(tenant, m.ClientID(), resource(s))
		if code != 0 {
			panic(fmt.Sprintf("no token for the identity: AADSTS%d", code))
		}
		return withAssertion(s, token)
	}
}

// asIdentity sends an assertion of the demo issuer as a managed identity that
// trusts it, made before the change.
func asIdentity(change func(s *entratest.Server, app *entratest.App)) func(*entratest.Server) edit {
	return func(s *entratest.Server) edit {
		app := s.Tenant().NewManagedIdentity().App()
		app.AddFederatedCredential(entratest.FederatedCredential{Issuer: s.Issuer().URL(), Subject: demoSubject, Audience: exchange(s)})
		change(s, app)
		return func(r *wrongRequest) {
			r.form = assertionForm(s, s.FederatedToken())
			r.form.Set("client_id", app.ClientID())
		}
	}
}

func home(s *entratest.Server) *entratest.Tenant { return s.Tenant() }

func exchange(s *entratest.Server) string { return s.Cloud().ExchangeAudience() }

var conditions = []condition{
	{"tenant suspended", plain(func(s *entratest.Server) { s.Tenant().SetDisabled(true) }), 5000224, 400, badRequest},
	{"tenant removed", plain(func(s *entratest.Server) { s.Tenant().Remove() }), 90002, 400, badRequest},
	{"tenant removed, by domain", func(s *entratest.Server) edit {
		s.Tenant().AddDomain("gone.example")
		s.Tenant().Remove()
		return func(r *wrongRequest) { r.tenant = "gone.example" }
	}, 90002, 400, badRequest},
	{"tenant in another cloud", plain(func(s *entratest.Server) { s.Tenant().SetOtherCloud(true) }), 900382, 400, badRequest},

	{"app removed", plain(func(s *entratest.Server) { s.App().Remove() }), 700016, 400, badApp},
	{"app disabled", plain(func(s *entratest.Server) { s.App().SetDisabled(true) }), 7000112, 400, badApp},
	{"service principal disabled", plain(func(s *entratest.Server) { s.Tenant().SetAppDisabled(s.App(), true) }), 7000112, 400, badApp},
	{"app uninstalled", plain(func(s *entratest.Server) { s.Tenant().Uninstall(s.App()) }), 7000229, 401, badClient},
	{"app of one tenant elsewhere", in(func(s *entratest.Server, _ *entratest.Tenant) { s.App().SetMultiTenant(false) }), 700016, 400, badApp},
	{"app public, secret", plain(func(s *entratest.Server) { s.App().SetPublicClient(true) }), 700025, 401, badClient},
	{"app public, assertion", fromIssuer(func(s *entratest.Server) { s.App().SetPublicClient(true) }), 700025, 401, badClient},
	{"app public, nothing", func(s *entratest.Server) edit {
		s.App().SetPublicClient(true)
		return func(r *wrongRequest) { r.form.Del("client_secret") }
	}, 7000216, 401, badClient},

	{"secret not yet valid", func(s *entratest.Server) edit {
		s.App().AddSecretDates("early", time.Now().Add(time.Minute), time.Now().Add(time.Hour))
		return func(r *wrongRequest) { r.form.Set("client_secret", "early") }
	}, 7000215, 401, badClient},
	{"certificate revoked", func(s *entratest.Server) edit {
		s.App().RevokeCertificate(s.Certificate().Leaf)
		return withAssertion(s, selfSigned(s, nil))
	}, 7000214, 401, badClient},
	{"clock of Entra ahead", func(s *entratest.Server) edit {
		s.SetClockOffset(time.Hour)
		return withAssertion(s, selfSigned(s, nil))
	}, 700024, 401, badClient},

	{"issuer out of reach", fromIssuer(func(s *entratest.Server) { s.Issuer().SetReachable(false) }), 501661, 400, badRequest},
	{"issuer rolled over twice", beforeChange(func(s *entratest.Server) { s.Issuer().Rollover(); s.Issuer().Rollover() }), 7000272, 401, badClient},
	{"issuer replaced", beforeChange(func(s *entratest.Server) { s.NewIssuer(s.Issuer().URL()) }), 7000272, 401, badClient},
	{"issuer not allowed by the tenant", fromIssuer(func(s *entratest.Server) { s.Tenant().AllowIssuers("https://other.test") }), 700238, 401, badClient},
	{"issuer not allowed by the app's tenant", func(s *entratest.Server) edit {
		tenant := customer(s)
		s.Tenant().AllowIssuers("https://other.test")
		return func(r *wrongRequest) { r.form, r.tenant = assertionForm(s, s.FederatedToken()), tenant.ID() }
	}, 700238, 401, badClient},
	{"federation not allowed by the tenant", fromIssuer(func(s *entratest.Server) { s.Tenant().SetFederationAllowed(false) }), 700223, 401, badClient},
	{"federated credential removed", fromIssuer(func(s *entratest.Server) {
		s.App().RemoveFederatedCredential(entratest.FederatedCredential{
			Issuer: s.Issuer().URL(), Subject: demoSubject, Audience: s.Cloud().ExchangeAudience(),
		})
	}), 70025, 401, badClient},
	{"issuer's key beyond the hundredth", fromIssuer(func(s *entratest.Server) {
		addIssuerKeys(s, func(own json.RawMessage, other json.RawMessage) []json.RawMessage {
			return append(slices.Repeat([]json.RawMessage{other}, 100), own)
		})
	}), 7000272, 401, badClient},
	{"issuer's key for something else", fromIssuer(func(s *entratest.Server) {
		addIssuerKeys(s, func(own json.RawMessage, other json.RawMessage) []json.RawMessage {
			own = json.RawMessage(strings.Replace(string(own), `"use":"sig"`, `"use":"enc"`, 1))
			return []json.RawMessage{own, other}
		})
	}), 7000272, 401, badClient},

	{"issuer removed", fromIssuer(func(s *entratest.Server) { s.Issuer().Remove() }), 90061, 400, badRequest},
	{"identity disabled", asIdentity(func(s *entratest.Server, app *entratest.App) { app.SetDisabled(true) }), 7000112, 400, badApp},
	{"identity disabled in its tenant", asIdentity(func(s *entratest.Server, app *entratest.App) { s.Tenant().SetAppDisabled(app, true) }), 7000112, 400, badApp},
	{"identity blocked", asIdentity(func(s *entratest.Server, app *entratest.App) { s.Tenant().Block(app, 53003) }), 53003, 400, badGrant},
	{"identity removed", asIdentity(func(s *entratest.Server, app *entratest.App) { app.Remove() }), 700016, 400, badApp},
	{"identity that is an app no longer", func(s *entratest.Server) edit {
		m := s.Tenant().NewManagedIdentity()
		s.App().AddFederatedCredential(m.FederatedCredential())
		token, _, _ := s.IdentityToken(s.Tenant(), m.ClientID(), exchange(s))
		m.App().Remove()
		return withAssertion(s, token)
	}, 700226, 401, badClient},
	{"identity nobody trusts", identity(home, exchange, entratest.FederatedCredential{Issuer: "https://other.test"}), 700222, 401, badClient},
	{"identity of another tenant", identity(customer, exchange, entratest.FederatedCredential{}), 700236, 401, badClient},
	{"identity's subject", identity(home, exchange, entratest.FederatedCredential{Subject: "x"}), 700213, 401, badClient},
	{"identity's subject case", identity(home, exchange, entratest.FederatedCredential{Subject: "UPPER"}), 7002138, 401, badClient},
	{"identity's audience an API", identity(home, func(s *entratest.Server) string { return s.API().URI() }, entratest.FederatedCredential{}), 7002121, 401, badClient},
	{"identity's audience in the credential", identity(home, exchange, entratest.FederatedCredential{Audience: "api://other"}), 7002121, 401, badClient},
	{"identity's audience of another cloud", identity(home, func(*entratest.Server) string {
		return cloud.USGovernment.ExchangeAudience()
	}, entratest.FederatedCredential{}), 70022204, 401, badClient},
	{"identity's token of version 1", identity(home, func(s *entratest.Server) string {
		s.API().SetTokenVersion(1)
		return s.API().URI()
	}, entratest.FederatedCredential{Issuer: "https://login.entra.test/{tenant}/"}), 700227, 401, badClient},
	{"identity's issuer, signed by the app", func(s *entratest.Server) edit {
		iss := s.Cloud().Authority() + "/" + s.Tenant().ID() + "/v2.0"
		s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: iss, Subject: "x", Audience: exchange(s)})
		return withAssertion(s, selfSigned(s, func(_ *jwt.Token, c jwt.MapClaims) { c["iss"] = iss }))
	}, 5002738, 401, badClient},
	{"identity's issuer, somebody else's key", func(s *entratest.Server) edit {
		forger := s.NewIssuer(s.Cloud().Authority() + "/" + s.Tenant().ID() + "/v2.0")
		s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: forger.URL(), Subject: "x", Audience: exchange(s)})
		return withAssertion(s, forger.Token(entratest.Claims{Subject: "x", Audience: exchange(s)}))
	}, 7000272, 401, badClient},
	{"identity's key gone", func(s *entratest.Server) edit {
		send := identity(home, exchange, entratest.FederatedCredential{})(s)
		s.Rollover()
		s.Rollover()
		return send
	}, 7000272, 401, badClient},
	{"identity's token expired", func(s *entratest.Server) edit {
		s.SetClockOffset(-25 * time.Hour)
		send := identity(home, exchange, entratest.FederatedCredential{})(s)
		s.SetClockOffset(0)
		return send
	}, 700024, 401, badClient},
	{"token of an app that is no identity", func(s *entratest.Server) edit {
		s.App().AddFederatedCredential(entratest.FederatedCredential{
			Issuer: s.Cloud().Authority() + "/" + s.Tenant().ID() + "/v2.0", Subject: "x", Audience: s.API().AppID(),
		})
		return func(r *wrongRequest) {
			r.form = assertionForm(s, tokenOf(s))
		}
	}, 700226, 401, badClient},

	{"domain removed", func(s *entratest.Server) edit {
		s.Tenant().AddDomain("old.example")
		s.Tenant().RemoveDomain("OLD.example")
		s.Tenant().RemoveDomain("old.example") // is gone
		return func(r *wrongRequest) { r.tenant = "old.example" }
	}, 90002, 400, badRequest},
	{"resource removed", plain(func(s *entratest.Server) { s.API().Remove(); s.API().Remove() }), 500011, 400, badResource},
	{"resource removed, elsewhere", in(func(s *entratest.Server, _ *entratest.Tenant) { s.API().Remove() }), 500011, 400, badResource},
	{"resource's URI removed", func(s *entratest.Server) edit {
		s.API().AddURI("https://old.test")
		s.API().RemoveURI("https://old.test/")
		s.API().RemoveURI("https://old.test/") // is gone
		return func(r *wrongRequest) { r.form.Set("scope", "https://old.test/.default") }
	}, 500011, 400, badResource},
	{"only role removed, assignment required", plain(func(s *entratest.Server) {
		s.Tenant().SetAssignmentRequired(s.API(), true)
		s.API().RemoveRoles("Data.Read.All")
		s.API().AddRoles("Data.Read.All") // another one of the name
	}), 501051, 400, badGrant},
	{"resource withdrawn", plain(func(s *entratest.Server) { s.Tenant().Withdraw(s.API()) }), 500011, 400, badResource},
	{"resource of one tenant elsewhere", in(func(s *entratest.Server, _ *entratest.Tenant) { s.API().SetMultiTenant(false) }), 500011, 400, badResource},
	{"resource disabled", plain(func(s *entratest.Server) { s.API().SetDisabled(true) }), 50001, 400, badResource},
	{"resource disabled in the tenant", plain(func(s *entratest.Server) { s.Tenant().SetResourceDisabled(s.API(), true) }), 500014, 400, badResource},
	{"assignment required", in(func(s *entratest.Server, t *entratest.Tenant) { t.SetAssignmentRequired(s.API(), true) }), 501051, 400, badGrant},

	{"Conditional Access", plain(func(s *entratest.Server) { s.Tenant().Block(s.App(), 53003) }), 53003, 400, badGrant},
	{"security policy", plain(func(s *entratest.Server) { s.Tenant().Block(s.App(), 530032) }), 530032, 400, badGrant},
	{"security defaults", plain(func(s *entratest.Server) { s.Tenant().Block(s.App(), 530035) }), 530035, 400, badGrant},
	{"blocked by Microsoft", plain(func(s *entratest.Server) { s.Tenant().Block(s.App(), 1000031) }), 1000031, 400, badApp},
	{"blocked, with a wrong secret", func(s *entratest.Server) edit {
		s.Tenant().Block(s.App(), 53003)
		return func(r *wrongRequest) { r.form.Set("client_secret", "nope") }
	}, 7000215, 401, badClient},
}

func TestConditions(t *testing.T) {
	for _, tt := range conditions {
		t.Run(tt.name, func(t *testing.T) {
			s := entratest.New(t)
			refusalCase{edit: tt.prepare(s), code: tt.code, status: tt.status, error: tt.error}.run(t, s)
		})
	}
}

// TestConditionsEnd takes back what TestConditions brings about.
func TestConditionsEnd(t *testing.T) {
	s := entratest.New(t)
	tenant := customer(s)
	for name, set := range map[string]func(wrong bool){
		"tenant suspended":           tenant.SetDisabled,
		"tenant in another cloud":    tenant.SetOtherCloud,
		"app disabled":               s.App().SetDisabled,
		"app public":                 s.App().SetPublicClient,
		"service principal disabled": func(wrong bool) { tenant.SetAppDisabled(s.App(), wrong) },
		"app of one tenant":          func(wrong bool) { s.App().SetMultiTenant(!wrong) },
		"resource disabled":          s.API().SetDisabled,
		"resource disabled here":     func(wrong bool) { tenant.SetResourceDisabled(s.API(), wrong) },
		"resource of one tenant":     func(wrong bool) { s.API().SetMultiTenant(!wrong) },
		"assignment required":        func(wrong bool) { tenant.SetAssignmentRequired(s.API(), wrong) },
		"issuer out of reach":        func(wrong bool) { s.Issuer().SetReachable(!wrong) },
		"federation off":             func(wrong bool) { s.Tenant().SetFederationAllowed(!wrong) },
		"issuers listed": func(wrong bool) {
			if s.Tenant().AllowIssuers(); wrong {
				s.Tenant().AllowIssuers("https://other.test")
			}
		},
		"blocked": func(wrong bool) {
			if tenant.Block(s.App(), 0); wrong {
				tenant.Block(s.App(), 53003)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, wrong := range []bool{true, false} {
				set(wrong)
				got := postForm(t, s, tenant.ID(), assertionForm(s, s.FederatedToken()))
				if (got.Status != http.StatusOK) != wrong {
					t.Errorf("wrong = %v: %d %s", wrong, got.Status, got.Description)
				}
			}
		})
	}
}

func TestBlockLooksLikeAChallenge(t *testing.T) {
	s := entratest.New(t)
	s.Tenant().Block(s.App(), 53003)
	got := refusalCase{edit: func(*wrongRequest) {}, code: 53003, status: 400, error: badGrant}.run(t, s)
	var claims struct {
		AccessToken struct {
			Capolids struct{ Values []string }
		} `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(got.Claims), &claims); err != nil || len(claims.AccessToken.Capolids.Values) != 1 {
		t.Errorf("claims %q, want those that name a policy", got.Claims)
	}
	if got.Suberror != "message_only" {
		t.Errorf("suberror %q", got.Suberror)
	}
}

// tokenOf returns a token of the demo app, got with its secret.
func tokenOf(s *entratest.Server) string {
	resp, err := s.HTTPClient().PostForm(s.Cloud().TokenEndpoint(s.Tenant().ID()), secretForm(s))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var answer tokenResponse
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		panic(err)
	}
	return answer.AccessToken
}
