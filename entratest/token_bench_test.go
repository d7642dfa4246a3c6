// SPDX-License-Identifier: MIT

package entratest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// BenchmarkToken asks for tokens with each kind of credential, over the whole
// path of a request but for the socket, on all cores.
func BenchmarkToken(b *testing.B) {
	s := entratest.New(b)
	for name, form := range map[string]string{
		"secret":      secretForm(s).Encode(),
		"certificate": assertionForm(s, selfSigned(s, nil)).Encode(),
		"federated":   assertionForm(s, s.FederatedToken()).Encode(),
	} {
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req := httptest.NewRequest(http.MethodPost, s.Cloud().TokenEndpoint(s.Tenant().ID()), strings.NewReader(form))
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					rec := httptest.NewRecorder()
					s.ServeHTTP(rec, req)
					if rec.Code != http.StatusOK {
						body, _ := io.ReadAll(rec.Body)
						b.Errorf("got %d %s", rec.Code, body)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
