// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestEachChangeWhileServing is for the race detector. TestChangesWhileServing
// has all changes in turn, where the lock of one hides that the next has none.
func TestEachChangeWhileServing(t *testing.T) {
	for name, change := range map[string]func(s *entratest.Server, i int){
		"admin path":   func(s *entratest.Server, _ int) { s.SetAdmin(true) },
		"app":          func(s *entratest.Server, i int) { s.App().SetMultiTenant(i%2 == 0) },
		"claims":       func(s *entratest.Server, _ int) { s.API().SetOptionalClaims() },
		"clear faults": func(s *entratest.Server, _ int) { s.ClearFaults() },
		"fault": func(s *entratest.Server, _ int) {
			if remove, err := s.AddFault(entratest.Fault{Tenant: "nobody.example", Status: 500}); err == nil {
				remove()
			}
		},
		"GitHub job":    func(s *entratest.Server, _ int) { s.NewGitHubJob("repo:a/b:pull_request") },
		"Google VM":     func(s *entratest.Server, _ int) { s.NewGoogleVM() },
		"identity":      func(s *entratest.Server, _ int) { s.Tenant().NewManagedIdentity().App().Remove() },
		"issuer":        func(s *entratest.Server, i int) { s.NewIssuer(fmt.Sprintf("https://i%d.test", i%50)) },
		"issuer's keys": func(s *entratest.Server, _ int) { s.Issuer().Rollover() },
		"lifetime":      func(s *entratest.Server, _ int) { s.SetTokenLifetime(time.Hour) },
		"pipeline":      func(s *entratest.Server, _ int) { s.NewPipelineJob("sc://a/b/c") },
		"principal":     func(s *entratest.Server, _ int) { s.Tenant().RevokeTokens(s.App()) },
		"propagation":   func(s *entratest.Server, _ int) { s.SetPropagation(0) },
		"roles":         func(s *entratest.Server, i int) { s.API().AddRoles(fmt.Sprint("Role", i)) },
		"tenant": func(s *entratest.Server, _ int) {
			s.Tenant().AddDomain("passing.example")
			s.Tenant().RemoveDomain("passing.example")
		},
		"throttle": func(s *entratest.Server, _ int) { s.SetThrottle(entratest.Throttle{Requests: 1, Per: time.Hour}) },
		"URI": func(s *entratest.Server, _ int) {
			s.API().AddURI("https://passing.test")
			s.API().RemoveURI("https://passing.test")
		},
		"version": func(s *entratest.Server, _ int) { s.API().SetTokenVersion(1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := entratest.New(t)
			s.API().SetTokenVersion(1)
			s.API().AddURI("https://api.test") // the audience: one that only the list of URIs knows
			sources := assertionSources(s)
			pipeline := s.NewPipelineJob("sc://a/b/c")
			api := s.API().Protect(served, role)
			form := secretForm(s)
			form.Set("scope", "https://api.test/.default")
			form.Set("claims", `{"access_token":{"xms_cc":{"values":["cp1"]}}}`)
			token := postForm(t, s, s.Tenant().ID(), form).AccessToken
			var wg sync.WaitGroup
			var done atomic.Bool
			wg.Go(func() {
				for i := 0; !done.Load(); i++ {
					change(s, i)
				}
			})
			wg.Go(func() {
				defer done.Store(true)
				for range 5 {
					// What they answer depends on what has changed by then.
					askToken(t, s, s.Tenant().ID())
					callAPI(api, token)
					for _, src := range sources {
						src.good.send(t, s)
					}
					pipeline.Issuer()
					s.Issuer().JWKS()
					s.API().Roles()
					for _, path := range []string{"counters", "faults", "throttle", "clock"} {
						admin(t, s, "GET", path, "", nil)
					}
				}
			})
			wg.Wait()
		})
	}
}
