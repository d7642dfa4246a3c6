// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
)

// formOf reads the form of a token request and leaves the request as it was.
func formOf(r *http.Request) url.Values {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(b))
	form, err := url.ParseQuery(string(b))
	if err != nil {
		panic(err)
	}
	return form
}

// firstly returns a fault that does f for the first n requests and then lets
// them through.
func firstly(n int64, f func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	var count atomic.Int64
	return func(r *http.Request) (*http.Response, error) {
		if count.Add(1) <= n {
			return f(r)
		}
		return nil, nil
	}
}

// fails returns a fault that brings no answer.
func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// inTurn answers with the first fault once and then with the second.
func inTurn(first, then func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		f := first
		first = then
		return f(r)
	}
}

// asError returns err as an *Error and fails the test if it is none.
func asError(t testing.TB, err error) *apponly.Error {
	t.Helper()
	e, ok := errors.AsType[*apponly.Error](err)
	if !ok {
		t.Fatalf("error = %v (%T), want an *apponly.Error", err, err)
	}
	return e
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// The first token costs one request and no discovery. MSAL alone would fetch
// the OpenID configuration first, and for some clouds the instance metadata; and
// it lets MSAL_FORCE_REGION send the secret to another host, or ask IMDS which.
func TestFirstTokenCostsOneRequest(t *testing.T) {
	for _, public := range []bool{false, true} {
		for _, region := range []string{"", "westeurope", "TryAutoDetect"} {
			for _, cae := range []bool{false, true} {
				t.Run(fmt.Sprintf("public=%t,region=%s,cae=%t", public, region, cae), func(t *testing.T) {
					t.Setenv("MSAL_FORCE_REGION", region)
					t.Setenv("REGION_NAME", region)
					synctest.Test(t, func(t *testing.T) {
						s := newSTS(t)
						emulator, err := url.Parse(s.Cloud().Authority())
						if err != nil {
							t.Fatal(err)
						}
						o := s.options()
						wantHost := emulator.Host
						if public {
							o.Cloud = cloud.Public
							wantHost = "login.microsoftonline.com"
						}
						o.CAE = cae
						var form url.Values
						s.setFault(func(r *http.Request) (*http.Response, error) {
							if r.URL.Host != wantHost || r.Method != http.MethodPost || r.URL.Path != "/"+s.Tenant().ID()+"/oauth2/v2.0/token" || r.URL.RawQuery != "" {
								t.Errorf("request = %s %s, want a POST to the token endpoint at %s", r.Method, r.URL, wantHost)
							}
							form = formOf(r)
							if id := r.Header.Get("client-request-id"); !guid.MatchString(id) {
								t.Errorf("client-request-id = %q, want a version 4 GUID", id)
							}
							for name, want := range map[string]string{
								"x-ms-lib-capability":      "retry-after, h429",
								"Return-Client-Request-Id": "true",
								"Accept":                   "application/json",
								"Content-Type":             "application/x-www-form-urlencoded; charset=utf-8",
							} {
								if got := r.Header.Get(name); got != want {
									t.Errorf("header %s = %q, want %q", name, got, want)
								}
							}
							r.URL.Host, r.Host = emulator.Host, ""
							return nil, nil
						})
						c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
						if err != nil {
							t.Fatal(err)
						}
						tok := mustToken(t, c, s.API().Scope())
						if n := s.requests(); n != 1 {
							t.Errorf("%d requests for the first token, want 1", n)
						}
						if left := time.Until(tok.ExpiresOn()); left < 59*time.Minute {
							t.Errorf("token lasts %v, want about an hour", left)
						}
						// MSAL adds the scopes of OpenID Connect, which Entra ignores here.
						if got := form.Get("scope"); got != s.API().Scope()+" openid offline_access profile" {
							t.Errorf("scope = %q, want %q", got, s.API().Scope())
						}
						var claims struct {
							AccessToken struct {
								XMSCC struct{ Values []string } `json:"xms_cc"`
							} `json:"access_token"`
						}
						if cae {
							if err := json.Unmarshal([]byte(form.Get("claims")), &claims); err != nil {
								t.Fatalf("claims = %q: %v", form.Get("claims"), err)
							}
							if v := claims.AccessToken.XMSCC.Values; len(v) != 1 || v[0] != "cp1" {
								t.Errorf("claims = %s, want the capability cp1", form.Get("claims"))
							}
						} else if form.Has("claims") {
							t.Errorf("claims = %s, want none without CAE", form.Get("claims"))
						}
					})
				})
			}
		}
	}
}

// Claims of a challenge and the client capability go out as one object.
func TestClaimsAreMergedWithCapability(t *testing.T) {
	s := newSTS(t)
	o := s.options()
	o.CAE = true
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	mustToken(t, c, s.API().Scope())
	var form url.Values
	s.setFault(func(r *http.Request) (*http.Response, error) { form = formOf(r); return nil, nil })
	if _, err := c.TokenFor(t.Context(), apponly.TokenRequest{
		Scope: s.API().Scope(), Claims: `{"access_token":{"nbf":{"essential":true,"value":"1563308371"}}}`,
	}); err != nil {
		t.Fatal(err)
	}
	var claims struct {
		AccessToken map[string]json.RawMessage `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(form.Get("claims")), &claims); err != nil {
		t.Fatal(err)
	}
	if claims.AccessToken["nbf"] == nil || claims.AccessToken["xms_cc"] == nil {
		t.Errorf("claims = %s, want both nbf and xms_cc", form.Get("claims"))
	}
}

// Every attempt at one token carries the same client-request-id; another token
// has another. It comes back as the CorrelationID even if the answer has none.
func TestRequestIDBecomesCorrelationID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var ids []string
		s.setFault(func(r *http.Request) (*http.Response, error) {
			ids = append(ids, r.Header.Get("client-request-id"))
			return status(http.StatusServiceUnavailable, "")(r)
		})
		_, err := s.client(t).Token(t.Context(), s.API().Scope())
		e := asError(t, err)
		if len(ids) < 2 {
			t.Fatalf("%d attempts, want several", len(ids))
		}
		for _, id := range ids {
			if id != e.CorrelationID {
				t.Errorf("client-request-id %q, want the CorrelationID %q each time", id, e.CorrelationID)
			}
		}
		if _, err := s.client(t).Token(t.Context(), s.API().Scope()); asError(t, err).CorrelationID == e.CorrelationID {
			t.Error("two token requests have the same ID")
		}
	})
}

func refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// For callers who wait, what may pass is tried again; what will not is an answer
// at once.
func TestRetryWithinFlight(t *testing.T) {
	const forever = 1 << 30
	type result struct {
		kind     apponly.Kind // "" for a token
		requests int          // -1: several
		min, max time.Duration
		retryAt  time.Duration // from the start; 0: not checked
		status   int
		text     string
	}
	ok := func(requests int, min, max time.Duration) result {
		return result{requests: requests, min: min, max: max}
	}
	for _, test := range []struct {
		name  string
		times int64
		fault func(*http.Request) (*http.Response, error)
		want  result
	}{
		{"503 once", 1, status(503, ""), ok(2, 0, time.Second)},
		{"500 once", 1, status(500, "<html>"), ok(2, 0, time.Second)},
		{"408 once", 1, status(408, ""), ok(2, 0, time.Second)},
		{"429 without Retry-After once", 1, status(429, "Too Many Requests"), ok(2, 0, time.Second)},
		{"429 with Retry-After 7 once", 1, status(429, "", "Retry-After", "7"), ok(2, 7*time.Second, 7*time.Second)},
		{"503 with Retry-After 7 once", 1, status(503, "", "Retry-After", "7"), ok(2, 7*time.Second, 7*time.Second)},
		{"Retry-After as a date", 1, func(r *http.Request) (*http.Response, error) {
			return status(503, "", "Retry-After", time.Now().Add(7*time.Second).UTC().Format(http.TimeFormat))(r)
		}, ok(2, 7*time.Second, 7*time.Second)},
		{"Retry-After in the past", 1, func(r *http.Request) (*http.Response, error) {
			return status(503, "", "Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))(r)
		}, ok(2, 0, time.Second)}, // our own wait is the least
		{"Retry-After 0", 1, status(503, "", "Retry-After", "0"), ok(2, 0, time.Second)},
		{"Retry-After 0 for good", forever, status(503, "", "Retry-After", "0"),
			result{kind: apponly.ErrService, requests: -1, min: 100 * time.Millisecond, max: 30 * time.Second, status: 503}},
		{"transient by its number", 1, status(400, `{"error":"invalid_request","error_codes":[90033]}`), ok(2, 0, time.Second)},
		{"refused by its number", forever, status(503, `{"error":"invalid_client","error_codes":[7000222]}`),
			result{kind: apponly.ErrSecretExpired, requests: 1, status: 503}},
		{"Retry-After that is nothing", 1, status(503, "", "Retry-After", "soon"), ok(2, 0, time.Second)},
		// Waiting it out would outlast the flight: the refusal is the answer.
		{"Retry-After 120", forever, status(429, "Too Many Requests", "Retry-After", "120"),
			result{kind: apponly.ErrThrottled, requests: 1, retryAt: 2 * time.Minute, status: 429}},
		// In retryablehttp this number overflows and means "at once".
		{"Retry-After 99999999999", forever, status(429, "", "Retry-After", "99999999999"),
			result{kind: apponly.ErrThrottled, requests: 1, retryAt: time.Hour, status: 429}},
		{"Retry-After beyond int64", forever, status(503, "", "Retry-After", "99999999999999999999999999"),
			result{kind: apponly.ErrService, requests: 1, retryAt: time.Hour, status: 503}},
		{"Retry-After -1", 1, status(503, "", "Retry-After", "-1"), ok(2, 0, time.Second)},
		{"503 for good", forever, status(503, ""), result{kind: apponly.ErrService, requests: -1, max: 30 * time.Second, status: 503, text: "HTTP 503"}},
		{"400", forever, status(400, `{"error":"invalid_scope"}`), result{kind: apponly.ErrScopeInvalid, requests: 1, status: 400}},
		{"401", forever, status(401, `{"error":"invalid_client"}`), result{kind: apponly.ErrSecretInvalid, requests: 1, status: 401}},
		{"404", forever, status(404, ""), result{kind: apponly.ErrService, requests: 1, status: 404}},
		{"connection refused once", 1, fails(refused()), ok(2, 0, time.Second)},
		{"connection refused", forever, fails(refused()), result{kind: apponly.ErrUnreachable, requests: -1, max: 30 * time.Second, text: "connection refused"}},
		{"503, then no connection", forever, inTurn(status(503, ""), fails(refused())),
			result{kind: apponly.ErrUnreachable, requests: -1, max: 30 * time.Second, text: "connection refused"}},
		{"connection closed once", 1, fails(io.EOF), ok(2, 0, time.Second)},
		{"DNS fails for now", 1, fails(&net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}), ok(2, 0, time.Second)},
		{"DNS not found", forever, fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}),
			result{kind: apponly.ErrUnreachable, requests: 1, text: "host name not found"}},
		{"unknown authority", forever, fails(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}),
			result{kind: apponly.ErrUnreachable, requests: 1, text: "unknown authority"}},
		{"wrong host", forever, fails(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}),
			result{kind: apponly.ErrUnreachable, requests: 1, text: "another host"}},
		{"not TLS", forever, fails(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}),
			result{kind: apponly.ErrUnreachable, requests: 1, text: "does not speak TLS"}},
		// A connection that swallows one request must not use up the flight.
		{"hangs once", 1, hang, ok(2, 10*time.Second, 11*time.Second)},
		{"hangs twice", 2, hang, ok(3, 20*time.Second, 22*time.Second)},
		{"hangs", forever, hang, result{kind: apponly.ErrUnreachable, requests: -1, min: 20 * time.Second, max: 30 * time.Second, text: "no answer in time"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(firstly(test.times, test.fault))
				start := time.Now()
				tok, err := s.client(t).Token(t.Context(), s.API().Scope())
				took := time.Since(start)
				if n := s.requests(); n != test.want.requests && (test.want.requests >= 0 || n < 2 || n > 5) {
					t.Errorf("%d requests, want %d", n, test.want.requests)
				}
				if took < test.want.min || took > max(test.want.max, test.want.min) {
					t.Errorf("took %v, want %v to %v", took, test.want.min, max(test.want.max, test.want.min))
				}
				if test.want.kind == "" {
					if err != nil || tok.IsZero() {
						t.Errorf("Token = %v, %v; want a token", tok, err)
					}
					return
				}
				wantKind(t, err, test.want.kind, test.want.text)
				e := asError(t, err)
				if e.HTTPStatus != test.want.status {
					t.Errorf("HTTPStatus = %d, want %d", e.HTTPStatus, test.want.status)
				}
				if e.Remembered {
					t.Error("Remembered is set for a request that was sent")
				}
				// With jitter: later than asked, and for what was cut off earlier.
				if at := e.RetryAt.Sub(start); test.want.retryAt != 0 && (at-test.want.retryAt).Abs() > test.want.retryAt/10 ||
					test.want.retryAt == 2*time.Minute && at < 2*time.Minute || at > time.Hour {
					t.Errorf("RetryAt is %v from the start, want %v", at, test.want.retryAt)
				}
			})
		})
	}
}

// The waits between attempts are random, and double: half of 0.5, 1, 2 and 4
// seconds on average.
func TestRetriesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setFault(status(503, ""))
		const flights = 100
		start := time.Now()
		for range flights {
			s.client(t).Token(t.Context(), s.API().Scope())
		}
		if d := time.Since(start) / flights; d < 3*time.Second || d > 4500*time.Millisecond {
			t.Errorf("five attempts take %v on average, want about 3.75s", d)
		}
	})
}

// What was underneath stays reachable for errors.Is and errors.As.
func TestUnreachableCauses(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(*http.Request) (*http.Response, error)
		found func(error) bool
	}{
		{"refused", fails(refused()), func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		{"dns", fails(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), func(err error) bool {
			e, ok := errors.AsType[*net.DNSError](err)
			return ok && e.IsNotFound
		}},
		{"x509", fails(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), func(err error) bool {
			_, ok := errors.AsType[x509.UnknownAuthorityError](err)
			return ok
		}},
		{"eof", fails(io.EOF), func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"hang", hang, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"deaf", func(*http.Request) (*http.Response, error) { // ignores its context
			time.Sleep(time.Hour)
			return nil, io.EOF
		}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(test.fault)
				start := time.Now()
				_, err := s.client(t).Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrUnreachable)
				wantKind(t, err, apponly.ErrTransient)
				if !test.found(err) {
					t.Errorf("the cause cannot be found in %v (%#v)", err, errors.Unwrap(err))
				}
				if took := time.Since(start); took > 32*time.Second {
					t.Errorf("took %v, want the flight to end after 30s", took)
				}
				time.Sleep(2 * time.Hour) // until the deaf one has returned
			})
		})
	}
}

// A caller's own deadline ends its wait and not the flight others wait for.
func TestCallerLeavesFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(5 * time.Second)
		c := s.client(t)
		mine := errors.New("shutting down")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		_, err := c.Token(ctx, s.API().Scope())
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, mine) {
			t.Errorf("error = %v, want both the deadline and its cause", err)
		}
		if _, ok := errors.AsType[*apponly.Error](err); ok {
			t.Error("leaving is an *Error, as if Entra had refused")
		}
		if err != nil && !strings.Contains(err.Error(), s.API().Scope()) {
			t.Errorf("error = %q, does not name the scope", err)
		}
		time.Sleep(5 * time.Second)
		mustToken(t, c, s.API().Scope())
		if n := s.requests(); n != 1 {
			t.Errorf("%d requests, want 1: the flight goes on without who began it", n)
		}
	})
}

func TestThousandCallersOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(time.Second)
		c := s.client(t)
		var wg sync.WaitGroup
		var values sync.Map
		for range 1000 {
			wg.Go(func() {
				tok, err := c.Token(t.Context(), s.API().Scope())
				if err != nil {
					t.Error(err)
					return
				}
				values.Store(tok.Value(), true)
			})
		}
		wg.Wait()
		n := 0
		values.Range(func(any, any) bool { n++; return true })
		if n != 1 || s.requests() != 1 {
			t.Errorf("%d tokens by %d requests, want 1 by 1", n, s.requests())
		}
	})
}

// closer counts how many bodies were handed out and not closed.
type closer struct {
	io.Reader
	open *atomic.Int64
	once sync.Once
}

func (c *closer) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A body that is left open is a connection that is never used again.
func TestBodiesAreClosed(t *testing.T) {
	for _, test := range []struct {
		name string
		code int
		body io.Reader
	}{
		{"good", 0, nil},
		{"refusal", 401, bytes.NewReader([]byte(`{"error":"invalid_client"}`))},
		{"service", 503, bytes.NewReader([]byte("later"))},
		{"throttled", 429, bytes.NewReader(nil)},
		{"redirect", 307, bytes.NewReader(nil)},
		{"strange", 200, bytes.NewReader([]byte("<html>"))},
		{"truncated", 200, io.MultiReader(bytes.NewReader([]byte(`{"access_token":"`)), failingReader{})},
		{"huge", 200, bytes.NewReader(make([]byte, 10<<20))},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				var open, handed atomic.Int64
				next := s.http.Transport
				s.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					resp, err := next.RoundTrip(r)
					if err == nil {
						open.Add(1)
						handed.Add(1)
						resp.Body = &closer{Reader: resp.Body, open: &open}
					}
					return resp, err
				})
				if test.code != 0 {
					s.setFault(func(r *http.Request) (*http.Response, error) {
						resp, err := status(test.code, "", "Location", "https://elsewhere.test/")(r)
						resp.Body, resp.ContentLength = io.NopCloser(test.body), -1
						return resp, err
					})
				}
				_, err := s.client(t).Token(t.Context(), s.API().Scope())
				if (err == nil) != (test.code == 0) {
					t.Errorf("Token: %v", err)
				}
				if handed.Load() == 0 || open.Load() != 0 {
					t.Errorf("%d of %d bodies are still open", open.Load(), handed.Load())
				}
			})
		})
	}
}

// The client given keeps its own policies for everything else, and its
// connections are not closed when a request fails: others use them.
func TestHTTPClientIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		idle := &idleCloser{RoundTripper: s.http.Transport}
		s.http.Transport = idle
		s.setFault(status(503, ""))
		_, err := s.client(t).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrService)
		s.setFault(hang)
		_, err = s.client(t).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrUnreachable)
		if n := idle.closed.Load(); n != 0 {
			t.Errorf("idle connections of the caller's client were closed %d times", n)
		}
		if s.http.CheckRedirect != nil || s.http.Jar != nil {
			t.Error("the caller's client was changed")
		}
	})
}

// An http.Client without a transport means http.DefaultTransport, as in net/http.
func TestHTTPClientWithoutATransport(t *testing.T) {
	s := newSTS(t)
	was := http.DefaultTransport
	http.DefaultTransport = s.http.Transport
	defer func() { http.DefaultTransport = was }()
	s.http = &http.Client{}
	mustToken(t, s.client(t), s.API().Scope())
}

// Cookies of the caller's client are not for the token endpoint, nor its for them.
func TestTokenRequestsKeepNoCookies(t *testing.T) {
	s := newSTS(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.Cloud().Authority())
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(u, []*http.Cookie{{Name: "session", Value: "theirs"}})
	s.http.Jar = jar
	s.setFault(func(r *http.Request) (*http.Response, error) {
		if c := r.Header.Get("Cookie"); c != "" {
			t.Errorf("Cookie: %s was sent", c)
		}
		return status(400, `{"error":"invalid_scope"}`, "Set-Cookie", "fpc=entra")(r)
	})
	_, err = s.client(t).Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrScopeInvalid)
	if cookies := jar.Cookies(u); len(cookies) != 1 {
		t.Errorf("the jar holds %v, want what it held", cookies)
	}
}

type idleCloser struct {
	http.RoundTripper
	closed atomic.Int64
}

func (c *idleCloser) CloseIdleConnections() { c.closed.Add(1) }

// Over real TLS: the process's own client does not trust the emulator's CA, one
// that does gets a token by one request.
func TestOverTLS(t *testing.T) {
	s := newSTS(t)
	_, pool := s.StartTLS()
	o := &apponly.Options{Cloud: s.Cloud(), Cache: apponly.NewCache(nil)}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrUnreachable, "unknown authority")
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("error = %#v, holds no x509.UnknownAuthorityError", err)
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests reached a server that is not trusted", n)
	}
	o.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer o.HTTPClient.CloseIdleConnections()
	if c, err = apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o); err != nil {
		t.Fatal(err)
	}
	mustToken(t, c, s.API().Scope())
	if n := len(s.Requests()); n != 1 {
		t.Errorf("%d requests for one token, want 1", n)
	}
}

// A client certificate of the caller's transport, a panic in it: what is not
// ours fails one request and not the process.
func TestRoundTripperPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setFault(firstly(1, func(*http.Request) (*http.Response, error) { panic("broken middleware") }))
		c := s.client(t)
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrUnreachable, "panicked")
		time.Sleep(time.Minute)
		mustToken(t, c, s.API().Scope())
	})
}
