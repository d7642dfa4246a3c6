// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/filecache"
)

// A next is an agent that is replaced by another, as one that is killed and started
// again. In between, nobody is there.
type next struct {
	mu sync.Mutex
	h  http.Handler // nil: killed
}

func (n *next) put(h http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.h = h
}

// Do is what azidentity sends its requests by.
func (n *next) Do(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	h := n.h
	n.mu.Unlock()
	if h == nil {
		return nil, context.DeadlineExceeded
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.Host, in.Body = r.URL.RequestURI(), r.URL.Host, http.NoBody
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, in)
	return rec.Result(), nil
}

// Two hours in which everything happens: Entra is away for 50 minutes of tokens that
// last for an hour, then the secret is rotated, then the agent is killed and started
// again. No call of an unmodified SDK fails, and the agent that was started again asks
// Entra for nothing.
func TestNoCallFails(t *testing.T) {
	t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:8181/msi/token")
	for _, name := range []string{"IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT", "AZURE_CLIENT_ID"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	synctest.Test(t, func(t *testing.T) {
		w, at := newWorld(t), &next{}
		t.Setenv("IDENTITY_HEADER", w.secret)
		w.SetTokenLifetime(time.Hour)
		dir := filepath.Join(t.TempDir(), "cache")
		secretFile := filepath.Join(t.TempDir(), "secret")
		write := func(secret string) {
			if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(w.Server.Secret())
		w.cfg.Listen, w.cfg.Files = agent.Listen{}, []agent.File{{Scope: w.API().Scope(), Path: filepath.Join(t.TempDir(), "token")}}
		w.cfg.Callers = w.cfg.Callers[:1]

		start := func() (kill func()) {
			store, err := filecache.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := filecache.Key(dir)
			if err != nil {
				t.Fatal(err)
			}
			client, err := apponly.New(w.Tenant().ID(), w.App().ClientID(), apponly.SecretFile(secretFile), &apponly.Options{
				Cloud: w.Cloud(), HTTPClient: w.HTTPClient(), Cache: apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys}),
			})
			if err != nil {
				t.Fatal(err)
			}
			a, err := agent.New(w.cfg, map[string]*apponly.Client{agent.DefaultApp: client})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- a.Run(ctx, nil) }()
			at.put(a.Handler())
			return func() {
				at.put(nil)
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		kill := start()

		// One SDK keeps its credential, as it should; another makes one for each call, and
		// has no cache of its own.
		var calls, failed atomic.Int64
		call := func(cred azcore.TokenCredential) {
			calls.Add(1)
			if _, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{w.API().Scope()}}); err != nil && t.Context().Err() == nil {
				failed.Add(1)
				t.Logf("call %d: %v", calls.Load(), err)
			}
		}
		credential := func() azcore.TokenCredential {
			cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: at}})
			if err != nil {
				t.Fatal(err)
			}
			return cred
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		kept := credential()
		for _, get := range []func() azcore.TokenCredential{func() azcore.TokenCredential { return kept }, credential} {
			wg.Go(func() {
				for ctx.Err() == nil {
					call(get())
					time.Sleep(10 * time.Second)
				}
			})
		}

		time.Sleep(5 * time.Minute)
		remove, err := w.AddFault(entratest.Fault{Endpoint: "token", Connection: "reset"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		remove()
		time.Sleep(15 * time.Minute)
		old := w.Server.Secret()
		w.App().AddSecret("the-next-secret", w.Now().Add(24*time.Hour))
		write("the-next-secret")
		w.App().RemoveSecret(old)
		time.Sleep(20 * time.Minute)

		asked := w.TokenRequests()
		for w.TokenRequests() == asked { // the next refresh, so that none is due in what follows
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Minute)
		asked = w.TokenRequests()
		kill()
		kill = start() // in the moment between two calls
		time.Sleep(time.Minute)
		if got := w.TokenRequests() - asked; got != 0 {
			t.Errorf("after it was started again it made %d token requests, want none", got)
		}
		time.Sleep(30 * time.Minute)
		stop()
		wg.Wait()
		kill()
		if failed.Load() > 0 || calls.Load() < 1400 {
			t.Errorf("%d of %d calls failed", failed.Load(), calls.Load())
		}
		t.Logf("%d calls, %d failed, %d token requests", calls.Load(), failed.Load(), w.TokenRequests())
	})
}
