// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// SetKeyDocument has edit make what is sent in place of each key document; nil ends
// that. edit gets the request and the document as it would be, and may return anything.
// It has to be safe for concurrent use. A document that cannot be had at all is a
// [Fault] at the endpoint "keys"; how often the documents were fetched tell
// [Server.Counters] and [Server.Requests].
func (s *Server) SetKeyDocument(edit func(r *http.Request, document []byte) []byte) {
	s.update(func() { s.keyDocument = edit })
}

// organizations is the name that work and school accounts of any tenant share in paths.
const organizations = "organizations"

// keys answers with the JSON Web Key Set. In version 2 every key names the issuer of the
// tokens that it is good for, and its cloud.
func (c *call) keys(name string, version int) answer {
	tenant, inIssuer, f := c.metadataTenant(name)
	if f != nil {
		return c.refused(f)
	}
	appID := c.appID()
	c.log.ClientID = appID
	if inIssuer == templateTenant {
		appID = "" // documents of no tenant have no keys of an app
	}
	keys := []any{}
	visible, edit := c.s.visibleKeys(tenant == organizations, appID)
	for _, k := range visible {
		keys = append(keys, c.entry(k, inIssuer, version))
	}
	ans := answer{status: http.StatusOK, body: map[string]any{"keys": keys}}
	if edit != nil {
		ans.body = rawBody{jsonType, string(edit(c.r, ans.encode(http.Header{})))}
	}
	return ans
}

// appID is the app whose custom signing keys are asked for, "" for none.
func (c *call) appID() string {
	if id := c.r.URL.Query().Get("appid"); ident.IsGUID(id) {
		return strings.ToLower(id)
	}
	return ""
}

// visibleKeys returns the keys of a document, and what edits it.
func (s *Server) visibleKeys(forOrganizations bool, appID string) (keys []*Key, edit func(*http.Request, []byte) []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := slices.Concat(s.signers, s.added)
	return slices.DeleteFunc(all, func(k *Key) bool {
		return k.hidden ||
			k.options.AppID != "" && !strings.EqualFold(k.options.AppID, appID) ||
			forOrganizations && strings.Contains(k.options.Issuer, ConsumerTenant)
	}), s.keyDocument
}

// entry returns what stands for a key in a document.
func (c *call) entry(k *Key, tenant string, version int) any {
	if k.options.Raw != nil {
		return k.options.Raw
	}
	entry := maps.Clone(k.common)
	if version == 2 {
		entry["issuer"] = strings.ReplaceAll(cmp.Or(k.options.Issuer, c.issuer(templateTenant, 2)), templateTenant, tenant)
		entry["cloud_instance_name"] = cmp.Or(k.options.CloudInstance, c.instanceName())
	}
	maps.Copy(entry, k.options.Members)
	maps.DeleteFunc(entry, func(_ string, v any) bool { return v == nil })
	return entry
}
