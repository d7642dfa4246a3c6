// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/wire"
)

// The variables by which the webhook of workload identity tells of the token proxy of
// an AKS cluster. It adds them to pods with the annotation
// azure.workload.identity/use-identity-binding. A variable that the container's
// spec has already it leaves alone.
const (
	envTokenProxy  = "AZURE_KUBERNETES_TOKEN_PROXY"
	envProxyName   = "AZURE_KUBERNETES_SNI_NAME"
	envProxyCAFile = "AZURE_KUBERNETES_CA_FILE"
	envProxyCAData = "AZURE_KUBERNETES_CA_DATA"
)

var envProxyAll = []string{envTokenProxy, envProxyName, envProxyCAFile, envProxyCAData}

// bindingAudience is the audience of the assertions that a token proxy exchanges, and
// that nobody else takes.
const bindingAudience = "api://AKSIdentityBinding"

// nameBinding is what the option is called in texts.
const nameBinding = "Options.IdentityBinding (" + envBinding + ")"

const envBinding = "APPONLY_IDENTITY_BINDING"

// A tokenProxy is what the variables say. It is comparable: clients of equal ones share
// their HTTP client, and with it their tokens.
type tokenProxy struct {
	url, serverName, caFile string // "": not set
	caData                  [32]byte
}

// readTokenProxy reads the variables. Its error names all that is wrong with them. roots
// are those in the variable itself, nil if they are elsewhere.
func readTokenProxy() (p tokenProxy, roots *x509.CertPool, err error) {
	p.serverName, p.caFile = envValue(envProxyName), absolute(envValue(envProxyCAFile))
	var errs []error
	if others := slices.DeleteFunc(slices.Clone(envProxyAll[1:]), func(name string) bool { return !isSet(name) }); isSet(envTokenProxy) {
		p.url, err = checkProxyURL(envValue(envTokenProxy))
		errs = append(errs, err)
	} else if len(others) > 0 {
		errs = append(errs, errorf(ErrConfiguration, "apponly: %s without %s: want that as well, or none of them", strings.Join(others, " and "), envTokenProxy))
	}
	if strings.Trim(p.serverName, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" {
		errs = append(errs, errorf(ErrConfiguration, "apponly: %s is not the name of a host", envProxyName))
	}
	if p.caFile != "" {
		errs = append(errs, checkPath(ErrCAFile, envProxyCAFile, envValue(envProxyCAFile)))
	}
	if data := envValue(envProxyCAData); data != "" {
		if p.caFile != "" {
			errs = append(errs, errorf(ErrConfiguration, "apponly: both %s and %s are set: want one of them; a webhook with the roots in its own configuration sets both, and writes no file: have the container's spec set %[1]s to nothing, which the webhook leaves alone", envProxyCAFile, envProxyCAData))
		}
		p.caData = sha256.Sum256([]byte(data))
		if roots, err = readRoots([]byte(data)); err != nil {
			errs = append(errs, errorf(ErrConfiguration, "apponly: %s %w", envProxyCAData, err))
		}
	}
	return p, roots, errors.Join(errs...)
}

// checkProxyURL returns a URL as it is used, and shows nothing of it: there may be a
// password in it.
func checkProxyURL(value string) (string, error) {
	u, err := url.Parse(value)
	var fault string
	switch {
	case err != nil || u.Scheme != "https":
		fault = "is not an https URL"
	case u.Hostname() == "":
		fault = "has no host"
	case u.User != nil:
		fault = "has user information in it"
	case u.RawQuery != "" || u.ForceQuery:
		fault = "has a query"
	case u.Fragment != "":
		fault = "has a fragment"
	default:
		return u.String(), nil
	}
	return "", errorf(ErrConfiguration, "apponly: %s %s", envTokenProxy, fault)
}

// base returns the URL that everything goes to.
func (p tokenProxy) base() *url.URL {
	u, _ := url.Parse(p.url) // it has been
	return u.JoinPath("/")
}

// proxyClients keeps one HTTP client per tokenProxy, because the HTTP client is part of
// what clients share tokens by.
var proxyClients sync.Map // tokenProxy → *http.Client

// client returns the HTTP client that sends everything to the proxy.
func (p tokenProxy) client(roots *x509.CertPool) *http.Client {
	route := wire.Route{ServerName: p.serverName}
	if p.caFile != "" {
		route.Roots = rootsOf(envProxyCAFile, p.caFile)
	} else if roots != nil {
		route.Roots = func(context.Context) (*x509.CertPool, error) { return roots, nil }
	}
	route.Base = p.base()
	c, _ := proxyClients.LoadOrStore(p, wire.NewClient(route))
	return c.(*http.Client)
}

// The two ways in which an identity binding is not in effect where somebody may think
// that it is.
var (
	errBindingOff = errorf(ErrConfiguration, "apponly: %s is set, but %s is not: token requests go to Entra, which refuses the assertions of an AKS identity binding",
		envTokenProxy, "Options.IdentityBinding ("+envBinding+"=1)")
	errNoTokenProxy = errorf(ErrConfiguration, `apponly: %s is set, but %s is not: token requests go to Entra; the workload identity webhook sets it if the pod has the annotation azure.workload.identity/use-identity-binding: "true"`,
		nameBinding, envTokenProxy)
)

// A notice is given once.
type notice struct {
	err   error
	given atomic.Bool
}

// give returns what there is to say, the first time that it is called.
func (n *notice) give() error {
	if n == nil || n.given.Swap(true) {
		return nil
	}
	return n.err
}

// A sender is how token requests are sent.
type sender struct {
	http    *http.Client // nil for the default
	roots   watchedFiles // those that http trusts
	proxied bool         // by the proxy of an identity binding
	notice  *notice      // nil: there is nothing to say
}

// proxySender returns how requests are sent with an identity binding, as far as there is
// one.
func proxySender() (s sender, err error) {
	p, roots, err := readTokenProxy()
	switch {
	case err != nil:
		return s, err
	case p.url == "":
		return sender{notice: &notice{err: errNoTokenProxy}}, nil
	}
	s = sender{http: p.client(roots), proxied: true}
	if p.caFile != "" {
		s.roots = watch(p.caFile)
	}
	return s, nil
}

// misdirected says of an assertion that was refused by whom it would have been taken; ""
// if that is not known. exchange is the audience for the cloud.
func (s sender) misdirected(audience, exchange string) string {
	public := cloud.Public.ExchangeAudience()
	switch {
	case s.proxied && audience != bindingAudience:
		return "the proxy of an AKS identity binding takes assertions for " + bindingAudience + " alone: want the file that the webhook projects, or a client without " + nameBinding
	case !s.proxied && audience == bindingAudience:
		return "the assertion is that of an AKS identity binding, for the cluster's proxy and not for Entra: set " + nameBinding
	case audience == public && exchange != public:
		return "the assertion is for the public cloud; the audience here is " + exchange
	}
	return ""
}
