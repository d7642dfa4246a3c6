// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	googlePath      = "/computeMetadata/v1/instance/service-accounts/"
	googleIssuer    = "https://accounts.google.com"
	googleTokenLife = time.Hour
)

// GoogleVM is a Compute Engine instance with a service account. Its metadata
// server answers at http://metadata.google.internal and http://169.254.169.254
// through [Server.HTTPClient], and at the address of [Server.StartHTTP].
// See https://cloud.google.com/compute/docs/instances/verifying-instance-identity.
type GoogleVM struct {
	s         *Server
	accountID string
	email     string
	instance  map[string]any // what tokens in the full format say about it
}

// NewGoogleVM starts an instance. The emulator is one machine: a new instance
// replaces the one before.
func (s *Server) NewGoogleVM() *GoogleVM {
	project := fmt.Sprintf("%012d", rand.N(int64(1e12)))
	vm := &GoogleVM{
		s:         s,
		accountID: fmt.Sprintf("1%020d", rand.Uint64()),
		email:     project + "-compute@developer.gserviceaccount.com",
		instance: map[string]any{
			"instance_creation_timestamp": s.Now().Unix(),
			"instance_id":                 fmt.Sprintf("%019d", rand.Int64()),
			"instance_name":               "worker",
			"project_id":                  "entratest",
			"project_number":              project,
			"zone":                        "europe-west1-b",
		},
	}
	s.update(func() { s.sources.vm = vm })
	return vm
}

// Env returns the environment variable that leads Google's libraries to this
// metadata server: GCE_METADATA_HOST, host and port. It starts the emulator's
// plain http listener ([Server.StartHTTP]).
func (vm *GoogleVM) Env() map[string]string {
	return map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(vm.s.StartHTTP(), "http://")}
}

// ServiceAccountID returns the unique ID of the service account, a number of 21
// digits: the subject of its tokens.
func (vm *GoogleVM) ServiceAccountID() string { return vm.accountID }

// ServiceAccountEmail returns the other name of the service account. It is not
// the subject of its tokens.
func (vm *GoogleVM) ServiceAccountEmail() string { return vm.email }

// Issuer returns the issuer of Google's tokens.
func (vm *GoogleVM) Issuer() *Issuer { return vm.s.issuerAt(googleIssuer) }

// FederatedCredential returns what makes an app accept the instance's tokens for
// the exchange audience of the cloud.
func (vm *GoogleVM) FederatedCredential() FederatedCredential {
	return FederatedCredential{Issuer: googleIssuer, Subject: vm.accountID, Audience: vm.s.Cloud().ExchangeAudience()}
}

// google answers as the metadata server does.
func (c *call) google(string) answer {
	return c.googleToken().with("Metadata-Flavor", "Google")
}

func (c *call) googleToken() answer {
	account, endpoint, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, googlePath), "/")
	c.s.mu.RLock()
	vm := c.s.sources.vm
	c.s.mu.RUnlock()
	q := c.r.URL.Query()
	format := q.Get("format")
	switch {
	case c.r.Method != http.MethodGet:
		return methodNotAllowed("GET", googleText("only GET is served here"))
	case c.r.Header.Get("Metadata-Flavor") != "Google":
		return googleRefusal(http.StatusForbidden, "the header Metadata-Flavor: Google is missing")
	case len(c.r.Header.Values("X-Forwarded-For")) > 0:
		return googleRefusal(http.StatusForbidden, "a forwarded request is not answered")
	case vm == nil || endpoint != "identity" || account != "default" && account != vm.email:
		return googleRefusal(http.StatusNotFound, "there is no such service account")
	case q.Get("audience") == "":
		return googleRefusal(badRequest, "the parameter audience is missing")
	case format != "" && format != "standard" && format != "full":
		return googleRefusal(badRequest, "the parameter format is neither standard nor full")
	}
	claims := jwt.MapClaims{"sub": vm.accountID, "azp": vm.accountID, "aud": q.Get("audience")}
	if format == "full" {
		claims["email"], claims["email_verified"] = vm.email, true
		claims["google"] = map[string]any{"compute_engine": vm.instance}
	}
	token, err := c.outsideToken(googleIssuer, googleTokenLife, 0, claims)
	if err != nil {
		return googleRefusal(http.StatusInternalServerError, err.Error())
	}
	return answer{status: http.StatusOK, body: rawBody{"text/html", token}}
}

func googleRefusal(status int, message string) answer {
	return answer{status: status, reason: message, body: googleText(message)}
}

func googleText(message string) rawBody { return rawBody{"text/html; charset=UTF-8", message + "\n"} }
