// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

const (
	bindingPath     = "/proxies/entra" // before the paths of Entra
	bindingAudience = "api://AKSIdentityBinding"
	bindingIssuer   = "https://ib.oic.prod-aks.azure.com/"
)

// IdentityBinding lets a service account of an AKS cluster, whose issuer is
// [Server.Issuer], use one app: in Azure, a user-assigned managed identity. The pods' tokens
// are no assertions for Entra but for the token proxy of the cluster, which exchanges
// them, and which listens on a port of 127.0.0.1, also for those who reach the emulator
// by [Server.HTTPClient]. It has a root and a name of its own, takes requests with the
// Host of [Server.Cloud] below a path, and closes each connection after one of them,
// so that every handshake is seen.
// See https://learn.microsoft.com/azure/aks/identity-bindings-concepts.
//
// What the proxy refuses itself is not among [Server.Requests]; how that of AKS
// refuses is not documented, and here it is a line of text with the status 401 or 403.
type IdentityBinding struct {
	s       *Server
	app     *App
	subject string
	base    string
	name    string
	ca      atomic.Pointer[certAuthority]
	cert    atomic.Pointer[tls.Certificate]
}

// NewIdentityBinding lets a service account, "system:serviceaccount:namespace:name",
// use an app, starts a proxy, and makes the app trust the issuer of the proxy. It
// fails as [Server.StartTLS] does.
func (s *Server) NewIdentityBinding(app *App, subject string) *IdentityBinding {
	b := &IdentityBinding{s: s, app: app, subject: subject, name: "binding.ests.test"}
	b.Rollover()
	app.AddFederatedCredential(b.federatedCredential())

	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	ln, host, err := listen("127.0.0.1:0")
	if s.closed {
		err = errClosed
	}
	if err != nil {
		s.fail("NewIdentityBinding: %v", err)
		return b
	}
	b.base = "https://" + host + bindingPath
	l := newListener(b.base, b)
	l.server.TLSConfig = &tls.Config{GetCertificate: b.certificate}
	l.server.SetKeepAlivesEnabled(false)
	l.run(func(server *http.Server) error { return server.ServeTLS(ln, "", "") })
	s.others = append(s.others, l)
	return b
}

// Env returns the environment variables of a pod of the service account that the
// webhook adds for the binding: AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_SNI_NAME,
// and the roots of now in AZURE_KUBERNETES_CA_DATA. A cluster that rotates them has
// AZURE_KUBERNETES_CA_FILE instead, a file with [IdentityBinding.CAPEM].
func (b *IdentityBinding) Env() map[string]string {
	return map[string]string{
		"AZURE_KUBERNETES_TOKEN_PROXY": b.base,
		"AZURE_KUBERNETES_SNI_NAME":    b.name,
		"AZURE_KUBERNETES_CA_DATA":     string(b.CAPEM()),
	}
}

// Token returns a new token of the service account for the proxy, valid for one hour by
// [Server.Now]: what is in AZURE_FEDERATED_TOKEN_FILE.
func (b *IdentityBinding) Token() string {
	return b.s.issuer.Token(Claims{Subject: b.subject, Audience: bindingAudience})
}

// CAPEM returns the root that the proxy's certificate is from.
func (b *IdentityBinding) CAPEM() []byte { return certPEM(b.ca.Load().cert) }

// Rollover gives the proxy another root and a certificate from it, from the next
// handshake on.
func (b *IdentityBinding) Rollover() {
	ca := newCertAuthority()
	cert := ca.serverCertificate(b.name)
	b.ca.Store(ca)
	b.cert.Store(&cert)
}

func (b *IdentityBinding) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName != b.name {
		return nil, nil // which TLS calls an unrecognized name
	}
	return b.cert.Load(), nil
}

// federatedCredential is what AKS adds to the identity of a binding.
func (b *IdentityBinding) federatedCredential() FederatedCredential {
	return FederatedCredential{
		Issuer:   bindingIssuer + b.app.home.id + "/" + b.app.appID,
		Subject:  b.subject,
		Audience: b.s.Cloud().ExchangeAudience(),
	}
}

// ServeHTTP implements http.Handler: it is the proxy.
func (b *IdentityBinding) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, below := strings.CutPrefix(r.URL.Path, bindingPath+"/")
	switch authority := b.s.Cloud().Authority(); {
	case !below:
		http.Error(w, "nothing is served here", http.StatusNotFound)
		return
	case "https://"+canonicalHost(r.Host) != authority:
		http.Error(w, "the Host is not that of "+authority, http.StatusMisdirectedRequest)
		return
	}
	out := r.Clone(r.Context())
	out.URL.Path, out.URL.RawPath = "/"+path, ""
	if _, endpoint := splitPath(out.URL.Path); endpoint == tokenPath {
		body, status, fault := b.exchange(r)
		if fault != "" {
			http.Error(w, fault, status)
			return
		}
		out.Body, out.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	b.s.serve(w, out, false)
}

// exchange puts an assertion of the proxy's own in the place of a pod's.
func (b *IdentityBinding) exchange(r *http.Request) (body string, status int, fault string) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return "", badRequest, "the body cannot be read"
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return "", badRequest, "the body is not a form"
	}
	a, refused := parseAssertion(form.Get("client_assertion"))
	if refused != nil || a.iss != b.s.issuer.URL() || string(a.aud) != bindingAudience {
		return "", unauthorized, "there is no token of a service account for " + bindingAudience
	}
	keys, _ := b.s.fetchIssuerKeys(a.iss)
	if a.checkSignature(keys) != nil || a.checkTimes(b.s.Now()) != nil {
		return "", unauthorized, "the token of the service account is not valid"
	}
	if a.sub != b.subject || !strings.EqualFold(form.Get("client_id"), b.app.appID) {
		return "", http.StatusForbidden, "the service account may not use-managed-identity of that client ID"
	}
	fc := b.federatedCredential()
	form.Set("client_assertion", b.s.issuerAt(fc.Issuer).Token(Claims{Subject: fc.Subject, Audience: fc.Audience}))
	return form.Encode(), 0, ""
}
