// SPDX-License-Identifier: MIT

package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/apponly/apponly"
)

// The versions of the managed identity protocols.
const (
	appServiceVersion = "2019-08-01"
	imdsVersion       = "2018-02-01"
)

// A managedAnswer is what SDKs want of a managed identity. What both services send is
// text, also where it is a number.
type managedAnswer struct {
	AccessToken string `json:"access_token"`
	ClientID    string `json:"client_id,omitempty"`
	ExpiresOn   string `json:"expires_on"`
	// Resource is byte for byte what was asked for: JS and Python cache under it, and
	// ask with every call if it differs.
	Resource  string `json:"resource"`
	TokenType string `json:"token_type"`
	// RefreshIn is no member of either service. azidentity goes by it, and Python adds it
	// to a time, so that it has to be a number.
	RefreshIn int `json:"refresh_in"`

	// Only IMDS sends these.
	ExpiresIn    string  `json:"expires_in,omitempty"`
	ExtExpiresIn string  `json:"ext_expires_in,omitempty"`
	NotBefore    string  `json:"not_before,omitempty"`
	RefreshToken *string `json:"refresh_token,omitempty"` // empty, and there
}

// appService is the managed identity protocol of App Service.
func (c *call) appService() ([]byte, string, *refusal) {
	if no := c.authenticate(headerSecret(c.r.Header)); no != nil {
		return nil, "", no
	}
	t, resource, no := c.managed(appServiceVersion)
	if no != nil {
		return nil, "", no
	}
	return c.managedBody(c.answerFor(t, resource))
}

// imds is that of the metadata service of virtual machines. The header keeps out
// requests that an application was talked into, if it does not choose the headers.
func (c *call) imds() ([]byte, string, *refusal) {
	if v := c.r.Header.Values("Metadata"); len(v) != 1 || v[0] != "true" && v[0] != "True" {
		return nil, "", refused(http.StatusBadRequest, invalidRequest, "want the header Metadata: true")
	}
	c.who.imds = true
	t, resource, no := c.managed(imdsVersion)
	if no != nil {
		return nil, "", no
	}
	body := c.answerFor(t, resource)
	body.ExpiresIn = seconds(time.Until(t.ExpiresOn()))
	body.ExtExpiresIn, body.NotBefore, body.RefreshToken = body.ExpiresIn, strconv.FormatInt(time.Now().Unix()-1, 10), new(string)
	return c.managedBody(body)
}

// otherIDs name an identity in ways that an app registration has no answer to.
var otherIDs = []string{"object_id", "principal_id", "mi_res_id", "msi_res_id"}

// managed gets the token that both protocols ask for in the same words.
func (c *call) managed(version string) (t apponly.Token, resource string, no *refusal) {
	q, no := c.query()
	if no != nil {
		return t, "", no
	}
	resource = q.Get("resource")
	switch {
	case q.Get("api-version") != version:
		return t, "", refused(http.StatusBadRequest, invalidRequest, "want api-version="+version)
	case resource == "":
		return t, "", refused(http.StatusBadRequest, invalidRequest, "the parameter resource is missing")
	}
	id := q.Get("client_id")
	app, found := c.findApp(c.who, id)
	if found && id != "" { // a name that is not for this caller is no name
		found = mayUse(c.cfg.Callers, c.who, app)
	}
	for _, name := range otherIDs {
		found = found && !q.Has(name)
	}
	if !found {
		// The words of IMDS, of which azidentity makes "unavailable", so that a chain of
		// credentials goes on.
		return t, "", refused(http.StatusBadRequest, invalidRequest, "Identity not found: client_id is no app that this caller may use")
	}
	if no := c.permit(app, scopeOf(resource)); no != nil {
		return t, "", no
	}
	t, no = c.cached()
	return t, resource, no
}

// leastRefresh is what a caller is told if the token is due already: in an outage it
// need not ask with every call.
const leastRefresh = 30 * time.Second

func (c *call) answerFor(t apponly.Token, resource string) *managedAnswer {
	return &managedAnswer{
		AccessToken: t.Value(), ClientID: c.clients[c.app].ClientID(), Resource: resource, TokenType: "Bearer",
		ExpiresOn: strconv.FormatInt(t.ExpiresOn().Unix(), 10),
		RefreshIn: int(max(time.Until(t.RefreshOn()), leastRefresh) / time.Second),
	}
}

func (c *call) managedBody(answer any) ([]byte, string, *refusal) {
	body, err := json.Marshal(answer)
	if err != nil { // text only
		panic(fmt.Sprintf("agent: %T: %v", answer, err))
	}
	return body, jsonType, nil
}

// seconds are whole ones, as the protocols want them, and never negative.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(0, int64(d/time.Second)), 10)
}
