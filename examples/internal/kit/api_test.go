// SPDX-License-Identifier: MIT

package kit_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
	"github.com/apponly/apponly/examples/internal/kittest"
	"github.com/golang-jwt/jwt/v5"
)

// An apiTest is the API in memory, in front of an emulator.
type apiTest struct {
	*testing.T
	server *entratest.Server
	issuer string
	api    http.Handler
}

func newAPITest(t *testing.T) *apiTest {
	t.Helper()
	server := entratest.New(t)
	issuer := server.Cloud().Authority() + "/" + server.Tenant().ID() + "/v2.0"
	api, err := kit.NewAPI(t.Context(), server.HTTPClient(), issuer, server.API().AppID(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, role := range map[string]string{"GET /orders": "Data.Read.All", "POST /orders": "Data.Write.All"} {
		mux.Handle(pattern, api.Protect(role, func(w http.ResponseWriter, r *http.Request, app string) {
			if app != server.App().ClientID() {
				t.Errorf("app = %s, want %s", app, server.App().ClientID())
			}
		}))
	}
	return &apiTest{t, server, issuer, mux}
}

func (t *apiTest) token(tenant *entratest.Tenant, resource *entratest.Resource) string {
	t.Helper()
	c, err := apponly.New(tenant.ID(), t.server.App().ClientID(), apponly.Secret(t.server.Secret()),
		&apponly.Options{Cloud: t.server.Cloud(), HTTPClient: t.server.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Token(t.Context(), resource.Scope())
	if err != nil {
		t.Fatal(err)
	}
	return token.Value()
}

func (t *apiTest) want(name, method, path, authorization string, want int) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	t.api.ServeHTTP(w, r)
	if w.Code != want {
		t.Errorf("%s: %s %s answered %d, want %d: %s", name, method, path, w.Code, want, w.Body)
	}
	if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%s: 401 without WWW-Authenticate (RFC 9110 section 15.5.2)", name)
	}
	kittest.WantNoSecrets(t.T, w.Body.String())
}

// The API is what the programs are measured by, so it has to say no.
func TestAPIRefuses(tt *testing.T) {
	t := newAPITest(tt)
	demo, api := t.server.Tenant(), t.server.API()
	other := demo.NewResource("api://other")
	elsewhere := t.server.AddTenant()
	elsewhere.Install(t.server.App())
	elsewhere.Provide(api)

	good, forOther := t.token(demo, api), t.token(demo, other)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{
		"iss": t.issuer, "aud": api.AppID(), "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"Data.Read.All"},
	}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	mixed := good[:strings.LastIndex(good, ".")] + forOther[strings.LastIndex(forOther, "."):]

	t.want("good", "GET", "/orders", "Bearer "+good, 200)
	t.want("role missing", "POST", "/orders", "Bearer "+good, 403)
	t.want("unknown path", "GET", "/other", "Bearer "+good, 404)
	t.want("no token", "GET", "/orders", "", 401)
	t.want("other scheme", "GET", "/orders", "Basic "+good, 401)
	t.want("no JWT", "GET", "/orders", "Bearer x", 401)
	t.want("unsigned", "GET", "/orders", "Bearer "+unsigned, 401)
	t.want("signature of another token", "GET", "/orders", "Bearer "+mixed, 401)
	t.want("other audience", "GET", "/orders", "Bearer "+forOther, 401)
	t.want("other tenant", "GET", "/orders", "Bearer "+t.token(elsewhere, api), 401)
	t.want("outside issuer", "GET", "/orders", "Bearer "+t.server.FederatedToken(), 401)
}

func TestAPIRefusesExpiredTokens(t *testing.T) {
	synctest.Test(t, func(tt *testing.T) {
		t := newAPITest(tt)
		t.server.SetTokenLifetime(time.Hour)
		token := t.token(t.server.Tenant(), t.server.API())
		time.Sleep(time.Hour)
		t.want("within the leeway", "GET", "/orders", "Bearer "+token, 200)
		time.Sleep(2 * time.Minute)
		t.want("expired", "GET", "/orders", "Bearer "+token, 401)
	})
}
