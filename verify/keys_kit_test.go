// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly/verify"
)

// newExponent makes a key with e = 3, which crypto/rsa does not.
var newExponent = sync.OnceValue(func() *signer {
	prime := func() *big.Int {
		for {
			p, err := rand.Prime(rand.Reader, 1024)
			if err != nil {
				panic(err)
			}
			if new(big.Int).Mod(p, big.NewInt(3)).Int64() == 2 { // else 3 has no inverse
				return p
			}
		}
	}
	p, q := prime(), prime()
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 3},
		D:         new(big.Int).ModInverse(big.NewInt(3), phi), Primes: []*big.Int{p, q},
	}
	k.Precompute()
	return &signer{k, "three"}
})

// newLargest makes one of the largest that are taken.
var newLargest = sync.OnceValue(func() *signer {
	k, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		panic(err)
	}
	return &signer{k, "largest"}
})

// number is one in base64url with some bits, odd.
func number(bits int) string {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return b64(n.SetBit(n, 0, 1).Bytes())
}

// unknown is a token of the good form by a key that is nobody's.
func unknown(kid string) string {
	return b64(marshal(fields{"typ": "JWT", "alg": "RS256", "kid": kid})) + "." + b64(marshal(claims(nil))) + "." + b64(make([]byte, 256))
}

// damaged is a token whose signature is wrong.
func damaged(token string) string {
	return token[:strings.LastIndexByte(token, '.')+1] + b64(make([]byte, 256))
}

// expect verifies a token, with want nil if it is good.
func expect(t testing.TB, v *verify.Verifier, token string, want error) error {
	t.Helper()
	return expectCtx(t, t.Context(), v, token, want)
}

func expectCtx(t testing.TB, ctx context.Context, v *verify.Verifier, token string, want error) error {
	t.Helper()
	_, err := v.Verify(ctx, token)
	if (want == nil) != (err == nil) || want != nil && !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	return err
}

// fetched compares the number of fetches.
func (s *keyServer) fetched(t testing.TB, want int64) {
	t.Helper()
	if n := s.fetches.Load(); n != want {
		t.Errorf("%d fetches, want %d", n, want)
	}
}

// fails lets fetches fail.
func (s *keyServer) fails() {
	s.answers(func(*http.Request) (int, []byte) { return 503, nil })
}

// slow lets fetches take d, or as long as they may.
func (s *keyServer) slow(d time.Duration, entries ...any) {
	body := marshal(fields{"keys": entries})
	s.answers(func(r *http.Request) (int, []byte) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		return 200, body
	})
}

// A roundTripper is a function that is one.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// openWith returns a verifier whose client is of this kind.
func openWith(t testing.TB, client *http.Client, rules []verify.Rule, o verify.Options) *verify.Verifier {
	t.Helper()
	o.HTTPClient = client
	v, err := verify.New(api, rules, &o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// many returns rules for n more tenants, and the tenants.
func many(n int) (rules []verify.Rule, tenants []string) {
	for i := range n {
		id := fmt.Sprintf("33333333-1111-4111-8111-%012d", i)
		tenants = append(tenants, id)
		rules = append(rules, verify.Rule{Tenant: id, Roles: []string{"Orders.Read"}})
	}
	return rules, tenants
}

// of changes claims to those of another tenant.
func of(tenant string) fields {
	return fields{"tid": tenant, "iss": host + "/" + tenant + "/v2.0"}
}

// A logbook counts what is logged.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logbook) WithGroup(string) slog.Handler            { return l }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.lines = append(l.lines, line)
	return nil
}

// count returns how many lines have text in them.
func (l *logbook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
