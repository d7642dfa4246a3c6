// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/apponly/apponly"
)

// writeFile writes a file in the way Kubernetes and good deploy tools do, so
// that no reader sees half of it.
func writeFile(t testing.TB, path string, data []byte) string {
	t.Helper()
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecret(t *testing.T) {
	for _, ending := range []string{"", "\n", "\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			mustToken(t, s.with(t, apponly.Secret(s.Secret()+ending)), s.API().Scope())
		})
	}
}

// Only a byte order mark and a line break at the end are dropped.
func TestSecretIsSentAsItIs(t *testing.T) {
	for _, value := range []string{"blank inside", "a&b=c%d+e?f#g", "\"quoted\\", "äöü-€", strings.Repeat("x", 5000)} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			s.App().AddSecret(value, time.Now().Add(time.Hour))
			mustToken(t, s.with(t, apponly.Secret(value)), s.API().Scope())
			mustToken(t, s.with(t, apponly.Secret("\ufeff"+value)), s.API().Scope())
			path := writeFile(t, filepath.Join(t.TempDir(), "secret"), []byte(value+"\n"))
			mustToken(t, s.with(t, apponly.SecretFile(path)), s.API().Scope())
		})
	}
}

func TestSecretRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		_, err := s.with(t, apponly.Secret("not-the-right-one")).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrSecretInvalid, "AADSTS7000215", s.App().ClientID(), s.Tenant().ID(), s.API().Scope())
		wantKind(t, err, apponly.ErrCredential)
		if e := asError(t, err); e.HTTPStatus != 401 || e.Code != 7000215 || e.TraceID == "" || e.CorrelationID == "" {
			t.Errorf("error = %+v, lacks what Entra said", e)
		}
		old := s.App().NewSecret(time.Now().Add(time.Hour))
		time.Sleep(2 * time.Hour)
		_, err = s.with(t, apponly.Secret(old)).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrSecretExpired, "AADSTS7000222")
	})
}

func TestSecretFileFaults(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data string) string {
		return writeFile(t, filepath.Join(dir, name), []byte(data))
	}
	missing := filepath.Join(dir, "missing")
	for _, test := range []struct {
		name, path string
		text       string
		is         error
	}{
		{"missing", missing, missing + ": no such file or directory", os.ErrNotExist},
		{"below a file", filepath.Join(file("plain", "x"), "secret"), "not a directory", nil},
		{"directory", dir, dir + " is a directory", nil},
		{"empty", file("empty", ""), "empty is empty", nil},
		{"line break", file("newline", "\n"), "newline is empty", nil},
		{"huge", file("huge", strings.Repeat("x", 1<<20+1)), "larger than 1 MiB", nil},
		// The wrong file was mounted.
		{"binary", file("binary", "\x30\x82\x00\xff"), "binary data", nil},
		{"several lines", file("lines", "one\ntwo\n"), "line breaks", nil},
		{"device", "/dev/null", "not a regular file", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && (test.is != nil || test.name == "below a file" || test.name == "device") {
				t.Skip("texts of the system")
			}
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				_, err := s.with(t, apponly.SecretFile(test.path)).Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrCredentialUnavailable, test.path, test.text)
				wantKind(t, err, apponly.ErrCredential)
				if test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("error = %v, is not %v", err, test.is)
				}
				if e := asError(t, err); e.HTTPStatus != 0 || strings.Count(e.Error(), test.path) != 1 || strings.Contains(e.Error(), "one") {
					t.Errorf("error = %q, want the path once, no status, nothing of the content", e)
				}
				if n := s.requests(); n != 0 {
					t.Errorf("%d requests without a credential", n)
				}
			})
		})
	}
}

// A secret is rotated by writing the file anew; no restart, no watcher.
func TestSecretFileRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := writeFile(t, filepath.Join(t.TempDir(), "secret"), []byte(s.Secret()+"\n"))
		c := s.with(t, apponly.SecretFile(path))
		mustToken(t, c, s.API().Scope())

		next := s.App().NewSecret(time.Now().Add(240 * time.Hour))
		writeFile(t, path, []byte(next+"\n"))
		s.App().RemoveSecret(s.Secret())
		time.Sleep(24 * time.Hour)
		mustToken(t, c, s.API().Scope())

		// The path, not the content, is the identity: another client of the same
		// file shares the token.
		o := s.options()
		for range 2 {
			c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.SecretFile(path), o)
			if err != nil {
				t.Fatal(err)
			}
			before := s.requests()
			mustToken(t, c, s.API().Scope())
			writeFile(t, path, []byte(next))
			if n := s.requests() - before; n > 1 {
				t.Errorf("%d requests", n)
			}
		}
		if n := o.Cache.Stats().Exchanges; n != 1 {
			t.Errorf("%d exchanges for two clients of one file, want 1", n)
		}
	})
}

// A relative path means the directory of the start, whatever becomes the working
// directory later.
func TestSecretFileRelative(t *testing.T) {
	s := newSTS(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "secret"), []byte(s.Secret()))
	t.Chdir(dir)
	c := s.with(t, apponly.SecretFile("secret"))
	t.Chdir(t.TempDir())
	mustToken(t, c, s.API().Scope())
}

// callbacks are all places where somebody else's code runs to make a token:
// each makes a client whose credential calls do first.
func callbacks(t testing.TB, s *sts) map[string]func(do func(context.Context) error) *apponly.Client {
	return map[string]func(do func(context.Context) error) *apponly.Client{
		"AssertionFunc": func(do func(context.Context) error) *apponly.Client {
			return s.with(t, apponly.Federated(apponly.AssertionFunc(func(ctx context.Context, _ apponly.AssertionRequest) (string, error) {
				if err := do(ctx); err != nil {
					return "", err
				}
				return s.FederatedToken(), nil
			})))
		},
		"crypto.Signer": func(do func(context.Context) error) *apponly.Client {
			cert := s.Certificate()
			return s.with(t, apponly.Certificate(certs(cert.Leaf), &signer{Signer: cert.Key, do: func() error { return do(context.Background()) }}, nil))
		},
		"TokenCredential": func(do func(context.Context) error) *apponly.Client {
			behind := s.client(t)
			c, err := apponly.FromTokenCredential(&tokenCredential{func(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
				if err := do(ctx); err != nil {
					return azcore.AccessToken{}, err
				}
				return behind.TokenCredential().GetToken(ctx, o)
			}}, &apponly.Options{Cache: apponly.NewCache(nil)})
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
	}
}

// A signer runs do before it signs.
type signer struct {
	crypto.Signer
	do func() error
}

func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := s.do(); err != nil {
		return nil, err
	}
	return s.Signer.Sign(rand, digest, opts)
}

// A tokenCredential is a function as an Azure SDK credential.
type tokenCredential struct {
	get func(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error)
}

func (c *tokenCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return c.get(ctx, o)
}

func forEachCallback(t *testing.T, f func(t *testing.T, s *sts, make func(do func(context.Context) error) *apponly.Client)) {
	for _, name := range []string{"AssertionFunc", "crypto.Signer", "TokenCredential"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				f(t, s, callbacks(t, s)[name])
			})
		})
	}
}

// callee is what errors call the callback of a subtest of forEachCallback.
func callee(t *testing.T) string {
	return map[string]string{
		"AssertionFunc": "the source", "crypto.Signer": "the key", "TokenCredential": "the TokenCredential",
	}[path.Base(t.Name())]
}

// A callback that panics or ends its goroutine fails the call it was made for;
// outside a guard the first ends the process and the second
// hangs everybody.
func TestCallbackPanicsOrExits(t *testing.T) {
	const canary = "panic-value-canary"
	for _, test := range []struct {
		name string
		do   func(context.Context) error
		text string
	}{
		{"panic", func(context.Context) error { panic(errors.New(canary)) }, "panicked"},
		{"panic with a string", func(context.Context) error { panic(canary) }, "panicked"},
		{"nil dereference", func(context.Context) error { var p *int; *p++; return nil }, "panicked"},
		{"Goexit", func(context.Context) error { runtime.Goexit(); return nil }, "ended its goroutine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			forEachCallback(t, func(t *testing.T, s *sts, make func(do func(context.Context) error) *apponly.Client) {
				var healthy atomic.Bool
				c := make(func(ctx context.Context) error {
					if healthy.Load() {
						return nil
					}
					return test.do(ctx)
				})
				_, err := c.Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrCredentialUnavailable, callee(t)+" "+test.text)
				if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, canary) {
					t.Errorf("error shows what the callback panicked with: %s", text)
				}
				mustToken(t, s.client(t), s.API().Scope())
				healthy.Store(true)
				time.Sleep(time.Minute)
				mustToken(t, c, s.API().Scope())
			})
		})
	}
}

// A callback's own error is found again, under a kind that says that Entra was
// not asked.
func TestCallbackFails(t *testing.T) {
	sealed := errors.New("vault is sealed")
	forEachCallback(t, func(t *testing.T, s *sts, make func(do func(context.Context) error) *apponly.Client) {
		c := make(func(context.Context) error { return sealed })
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCredentialUnavailable)
		if n := s.requests(); n != 0 {
			t.Errorf("%d requests without a credential", n)
		}
		// What a TokenCredential returns may hold its request, and is hidden.
		if azure := c.TenantID() == ""; errors.Is(err, sealed) == azure {
			t.Errorf("errors.Is finds the callback's error: %t", !azure)
		}
	})
}

// A callback that ignores its context costs one goroutine, not one per flight:
// until it has returned, its credential fails at once and it is not called, but for
// a trial after some minutes.
func TestCallbackHangs(t *testing.T) {
	forEachCallback(t, func(t *testing.T, s *sts, make func(do func(context.Context) error) *apponly.Client) {
		var calls atomic.Int64
		release := newChan()
		close(release)
		c := make(func(context.Context) error {
			calls.Add(1)
			<-release
			return nil
		})
		mustToken(t, c, s.Tenant().NewResource("https://first.example").Scope()) // that it has worked makes no difference
		release = newChan()
		calls.Store(0)
		second := s.Tenant().NewResource("", "Read")
		second.Grant(s.Tenant(), s.App(), "Read")

		failed := newErrChan()
		start := time.Now()
		go func() {
			_, err := c.Token(context.Background(), s.API().Scope())
			failed <- err
		}()
		synctest.Wait()
		mustToken(t, s.client(t), s.API().Scope()) // somebody else's key, meanwhile
		if took := time.Since(start); took != 0 {
			t.Errorf("another key waited for %v", took)
		}
		err := <-failed
		wantKind(t, err, apponly.ErrCredentialUnavailable, callee(t)+" did not return in time")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, is no context.DeadlineExceeded", err)
		}
		if took := time.Since(start); took < 30*time.Second || took > 2*time.Minute+time.Second {
			t.Errorf("gave up after %v", took)
		}
		for range 4 {
			time.Sleep(time.Minute)
			at := time.Now()
			for _, scope := range []string{s.API().Scope(), second.Scope()} {
				_, err := c.Token(t.Context(), scope)
				wantKind(t, err, apponly.ErrCredentialUnavailable, callee(t)+" is still running")
			}
			if took := time.Since(at); took != 0 {
				t.Errorf("failed after %v, want at once", took)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("called %d times, want once while it hangs", n)
		}
		time.Sleep(2 * time.Minute)
		c.Token(t.Context(), s.API().Scope())
		if n := calls.Load(); n != 2 {
			t.Errorf("called %d times after some minutes, want twice", n)
		}
		close(release)
		time.Sleep(10 * time.Minute)
		mustToken(t, c, s.API().Scope())
		mustToken(t, c, second.Scope())
	})
}

func newChan() chan struct{} { return make(chan struct{}) }
func newErrChan() chan error { return make(chan error, 1) }

// A callback that heeds its context says itself why it gave up.
func TestCallbackHeedsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := callbacks(t, s)["AssertionFunc"](func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("vault: %w", ctx.Err())
		})
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCredentialUnavailable, "vault: context deadline exceeded")
	})
}

// FirstOf of a list that was put together by conditions: an empty part of it is
// none.
func TestFirstOfNothing(t *testing.T) {
	s := newSTS(t)
	mustToken(t, s.with(t, apponly.FirstOf(apponly.FirstOf(), apponly.Secret(s.Secret()))), s.API().Scope())
	_, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.FirstOf(apponly.FirstOf()), nil)
	wantKind(t, err, apponly.ErrCredentialMissing, "FirstOf has no credential")
}

// What is known of our own sources does not pass on to those that embed one.
func TestEmbeddedAssertionFunc(t *testing.T) {
	s := newSTS(t)
	cred := apponly.Federated(embedding{token: s.FederatedToken()})
	mustToken(t, s.with(t, cred), s.API().Scope())
}

type embedding struct {
	apponly.AssertionFunc
	token string
}

func (e embedding) Assertion(context.Context, apponly.AssertionRequest) (string, error) {
	return e.token, nil
}
