// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/memhttp"
)

// memoryHost is what the emulator is called until it listens somewhere. The
// top-level domain is reserved for tests (RFC 6761): a client that bypasses
// [Server.HTTPClient] reaches no real host.
const memoryHost = "login.entra.test"

// The demo objects that [NewServer] makes.
const (
	demoSubject = "system:serviceaccount:demo:worker"
	demoRole    = "Data.Read.All"
	spareRole   = "Data.Write.All"
)

// TB is the part of testing.TB that [New] needs. It is an interface of its own
// so that programs which embed the emulator do not link the testing package.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Server is an emulated token service. Make one with [New] or [NewServer].
type Server struct {
	fail func(format string, args ...any)

	tenant   *Tenant
	app      *App
	api      *Resource
	issuer   *Issuer
	secret   string
	cert     *Certificate
	requests requestLog
	faults   faultList
	forms    consentForms
	throttle throttler
	ca       func() *certAuthority
	closing  chan struct{} // closed by Close, to release the requests that faults hold

	// mu guards the directory: everything below up to plainBase, and the mutable
	// fields of every Tenant, App, Resource and Issuer of this server. Nothing is
	// signed, and there is no I/O, while it is held.
	mu            sync.RWMutex
	cloud         cloud.Cloud
	signers       []*Key // that are published; the first one signs. Replaced, never changed
	added         []*Key // published beside them
	keyDocument   func(*http.Request, []byte) []byte
	tenants       map[string]*Tenant   // by lower-case ID and domain
	apps          map[string]*App      // by client ID
	resources     map[string]*Resource // by app ID
	uris          map[resourceURI]*Resource
	microsoft     []*Resource        // those that are in every tenant; the slice is never changed
	issuers       map[string]*Issuer // by URL
	appKeys       int                // how many keys of the pool were handed out to apps
	tokenLifetime time.Duration
	refreshIn     time.Duration
	propagation   time.Duration
	adminOff      bool
	arm           bool // Azure Resource Manager is served
	sources       sources
	plainBase     string // "http://host:port", once StartHTTP has been called

	clockOffset atomic.Int64 // a time.Duration

	// keyMu orders whatever makes keys: new issuers, rollovers and AddKey. It is held
	// while an RSA key is generated, which is why it is not mu.
	keyMu      sync.Mutex
	issuerKeys int // how many keys of the pool were handed out to issuers

	// listenMu orders StartTLS, its siblings and Close. It is held while a
	// socket is opened, which is why it is not mu.
	listenMu sync.Mutex
	secure   *listener
	plain    *listener
	others   []*listener // of identity bindings, proxies and APIs
	closed   bool
}

// New returns a running emulator for a test and closes it when the test ends.
// It has one tenant; one app with a secret, a certificate and a federated
// credential that trusts [Server.Issuer]; and one API with the roles
// "Data.Read.All", which the app requires and has been granted, and "Data.Write.All",
// which it has not. All IDs are random, so that tests which share a token cache do
// not see each other's tokens.
//
// What the emulator cannot do ends the test by tb.Fatalf: a [Server.StartTLS] that
// finds no port, for example. Misuse, such as a role that no API defines, panics.
func New(tb TB) *Server {
	tb.Helper()
	s := NewServer()
	s.fail = tb.Fatalf
	tb.Cleanup(s.Close)
	return s
}

// NewServer is [New] without a test: it panics where that ends the test. Call
// [Server.Close] when done with it.
func NewServer() *Server {
	s := &Server{
		fail:      func(format string, args ...any) { panic(fmt.Sprintf("entratest: "+format, args...)) },
		cloud:     cloud.Custom("https://" + memoryHost),
		tenants:   make(map[string]*Tenant),
		apps:      make(map[string]*App),
		resources: make(map[string]*Resource),
		uris:      make(map[resourceURI]*Resource),
		issuers:   make(map[string]*Issuer),
		sources: sources{
			jobs:          make(map[string]*GitHubJob),
			pipelines:     make(map[string]*PipelineJob),
			organizations: make(map[string]string),
		},
		ca:       sync.OnceValue(newCertAuthority),
		requests: requestLog{counters: Counters{Endpoints: make(map[string]int), Statuses: make(map[int]int), Codes: make(map[int]int)}},
		closing:  make(chan struct{}),
	}
	s.faults.changed, s.throttle.changed = s.requests.changed, s.requests.changed
	s.microsoft = newMicrosoftResources(s)
	s.signers = []*Key{s.newKey(0, signingKeys, KeyOptions{})}
	s.tenant = s.AddTenant()
	s.app = s.tenant.NewApp()
	s.api = s.tenant.NewResource("", demoRole, spareRole)
	s.api.Grant(s.tenant, s.app, demoRole)
	s.app.Require(s.api, demoRole)
	s.issuer = s.NewIssuer("https://oidc.cluster.test/" + ident.NewGUID() + "/")

	now := time.Now()
	s.secret = s.app.NewSecret(now.AddDate(1, 0, 0))
	s.cert = s.app.NewCertificate(now.AddDate(0, 0, -1), now.AddDate(1, 0, 0)) // also good by a clock that is behind
	s.app.AddFederatedCredential(FederatedCredential{
		Issuer:   s.issuer.URL(),
		Subject:  demoSubject,
		Audience: s.cloud.ExchangeAudience(),
	})
	return s
}

// Cloud returns the cloud that this emulator is: an in-memory host under .test
// at first, the TLS authority once [Server.StartTLS] has been called.
func (s *Server) Cloud() cloud.Cloud {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cloud
}

// HTTPClient returns a client that reaches this emulator without a network:
// requests to the host of [Server.Cloud] are answered from memory, and over
// plain http those to 169.254.169.254, metadata.google.internal and the base of
// [Server.StartHTTP]. Any other host fails like a name that does not resolve.
// It leaves no goroutine behind and works in a testing/synctest bubble.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{Transport: &memhttp.Transport{Reach: s.reach}}
}

// Tenant returns the demo tenant.
func (s *Server) Tenant() *Tenant { return s.tenant }

// App returns the demo app, registered and installed in [Server.Tenant].
func (s *Server) App() *App { return s.app }

// API returns the demo API, on which [Server.App] has the role "Data.Read.All".
func (s *Server) API() *Resource { return s.api }

// Issuer returns the outside OIDC issuer that [Server.App] trusts, such as a
// Kubernetes cluster. Nothing is served at its URL: the emulator knows its keys.
func (s *Server) Issuer() *Issuer { return s.issuer }

// Secret returns the client secret of [Server.App].
func (s *Server) Secret() string { return s.secret }

// Certificate returns the certificate of [Server.App] with its key.
func (s *Server) Certificate() *Certificate { return s.cert }

// FederatedToken returns a new assertion of [Server.Issuer] that matches the
// federated credential of [Server.App]. It is valid for one hour, by [Server.Now].
func (s *Server) FederatedToken() string {
	return s.issuer.Token(Claims{Subject: demoSubject, Audience: s.Cloud().ExchangeAudience()})
}

// SetTokenLifetime sets how long tokens live that are issued from now on, rounded
// up to whole seconds. Zero brings back the default: a random time between 60 and
// 90 minutes for every token, as Entra does to spread renewals, and 24 hours for
// those of managed identities.
func (s *Server) SetTokenLifetime(d time.Duration) {
	s.update(func() { s.tokenLifetime = wholeSeconds(d) })
}

// SetRefreshIn sets the refresh_in of answers from now on, rounded up to whole
// seconds: the time after which Entra wants a token renewed although it is still
// good. Zero, the default, leaves it out.
func (s *Server) SetRefreshIn(d time.Duration) {
	s.update(func() { s.refreshIn = wholeSeconds(d) })
}

// wholeSeconds rounds up, so that a short time does not become none, and a client
// that waits for as long as it was told is not early.
func wholeSeconds(d time.Duration) time.Duration {
	return (max(d, 0) + time.Second - 1).Truncate(time.Second)
}

// SetClockOffset sets the emulator's clock apart from the local one: that is how
// a host with the wrong time sees it. All checks, tokens and Date headers follow
// it. What happened before stays at its time; see [Tenant.RevokeTokens].
func (s *Server) SetClockOffset(d time.Duration) {
	s.clockOffset.Store(int64(d))
	s.requests.changed()
}

// Now returns the time by the emulator's clock: [time.Now] and the offset.
func (s *Server) Now() time.Time { return time.Now().Add(time.Duration(s.clockOffset.Load())) }

// try changes the directory, or returns why that cannot be.
func (s *Server) try(change func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return change()
}

// orNil returns v if it could be made.
func orNil[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// update changes the directory.
func (s *Server) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// prefixed names the package in an error that leaves it.
func prefixed(err error) error {
	if err != nil {
		err = fmt.Errorf("entratest: %w", err)
	}
	return err
}

// panicIf panics with the misuse that err is, if there is one.
func panicIf(err error) {
	if err != nil {
		panic("entratest: " + err.Error())
	}
}

// must returns v, and panics if there is an error.
func must[T any](v T, err error) T {
	panicIf(err)
	return v
}
