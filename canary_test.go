// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/apponly/apponly"
)

// canarySecret has what the escapings on the way change.
const canarySecret = `Kq8~canary+secret/&=%"<x>.0123456789ABCDEFabcdef`

// canaries are texts that must not turn up, in the forms in which they could.
type canaries []string

// formsOf returns what a canary looks like escaped, encoded and as the numbers
// that fmt makes of bytes.
func formsOf(s string) []string {
	if f, ok := formsMemo.Load(s); ok {
		return f.([]string)
	}
	quoted, _ := json.Marshal(s)
	forms := []string{
		s, string(quoted[1 : len(quoted)-1]), url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
	}
	piece := s[:min(len(s), 16)] // enough to recognise it
	for _, format := range []string{"%x", "%X", "% x", "% X", "%#x", "%#X", "%d", "%b", "%o", "%c", "%q", "%U", "%#v", "%08b"} {
		for _, as := range []any{piece, []byte(piece)} {
			if f := strings.Trim(fmt.Sprintf(format, as), `[]"{}`); !strings.Contains(f, "%!") {
				forms = append(forms, f)
			}
		}
	}
	slices.Sort(forms)
	forms = slices.Compact(forms)
	formsMemo.Store(s, forms)
	return forms
}

var formsMemo sync.Map

func (c canaries) find(text string) string {
	for _, s := range c {
		for _, form := range formsOf(s) {
			if strings.Contains(text, form) {
				return form
			}
		}
	}
	return ""
}

// formats are every verb with every set of flags that fmt knows.
var formats = sync.OnceValue(func() []string {
	var list []string
	for set := range 1 << 5 {
		var flags strings.Builder
		for i, f := range []string{"+", "-", "#", " ", "0"} {
			if set>>i&1 == 1 {
				flags.WriteString(f)
			}
		}
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw" {
			list = append(list, "%"+flags.String()+string(verb))
		}
	}
	return list
})

// checkPrinted prints v in every way the standard library has.
func (c canaries) checkPrinted(t *testing.T, name string, v any) {
	t.Helper()
	c.checkFormats(t, name, v, formats())
}

func (c canaries) checkFormats(t *testing.T, name string, v any, formats []string) {
	t.Helper()
	var buf bytes.Buffer
	seen := map[string]bool{}
	for _, format := range formats {
		if out := fmt.Sprintf(format, v); !seen[out] {
			seen[out] = true
			buf.WriteString(format + " " + out + "\n")
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
		slog.New(h).Info("m", "v", v, slog.Group("g", "v", v))
	}
	if b, err := json.Marshal(v); err == nil {
		buf.Write(b)
	}
	if s := c.find(buf.String()); s != "" {
		t.Errorf("%s shows %q", name, s)
	}
}

// walk visits everything that is reachable from v, as dumpers and differs of
// test libraries do, and looks for a canary in every string and byte slice. It
// also follows atomic pointers, which those do not.
func (c canaries) walk(t *testing.T, name string, v any) {
	t.Helper()
	type visit struct {
		p uintptr
		t reflect.Type
	}
	seen := map[visit]bool{}
	var step func(path string, v reflect.Value)
	step = func(path string, v reflect.Value) {
		if !v.IsValid() {
			return
		}
		switch v.Type() {
		case reflect.TypeFor[*http.Request](), reflect.TypeFor[*http.Response]():
			if !v.IsNil() {
				t.Errorf("%s%s holds an HTTP message", name, path)
			}
			return
		case reflect.TypeFor[rsa.PrivateKey]():
			t.Errorf("%s%s holds a private key", name, path)
			return
		case reflect.TypeFor[reflect.Value](), reflect.TypeFor[testing.T]():
			return
		}
		switch v.Kind() {
		case reflect.String:
			if s := c.find(v.String()); s != "" {
				t.Errorf("%s%s holds %q", name, path, s)
			}
		case reflect.Pointer:
			if v.IsNil() || seen[visit{v.Pointer(), v.Type()}] {
				return
			}
			seen[visit{v.Pointer(), v.Type()}] = true
			step(path, v.Elem())
		case reflect.Interface:
			step(path, v.Elem())
		case reflect.Struct:
			if strings.HasPrefix(v.Type().Name(), "Pointer[") && v.Type().PkgPath() == "sync/atomic" {
				if p := v.FieldByName("v").UnsafePointer(); p != nil {
					step(path+".Load()", reflect.NewAt(v.Type().Field(0).Type.Elem().Elem(), p))
				}
				return
			}
			for i := range v.NumField() {
				step(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				b := make([]byte, v.Len())
				for i := range b {
					b[i] = byte(v.Index(i).Uint())
				}
				if s := c.find(string(b)); s != "" {
					t.Errorf("%s%s holds %q", name, path, s)
				}
				return
			}
			for i := range v.Len() {
				step(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		case reflect.Map:
			for i := v.MapRange(); i.Next(); {
				step(path+"[key]", i.Key())
				step(path+"[]", i.Value())
			}
		}
	}
	step("", reflect.ValueOf(v))
}

// checkError looks at an error and everything beneath it.
func (c canaries) checkError(t *testing.T, name string, err error) {
	t.Helper()
	var down func(err error)
	down = func(err error) {
		c.checkFormats(t, fmt.Sprintf("%s: %T", name, err), err, []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%#q", "%+s", "%p"})
		if s := c.find(err.Error()); s != "" {
			t.Errorf("%s: %T says %q", name, err, s)
		}
		switch err := err.(type) {
		case interface{ Unwrap() error }:
			if next := err.Unwrap(); next != nil {
				down(next)
			}
		case interface{ Unwrap() []error }:
			for _, next := range err.Unwrap() {
				down(next)
			}
		}
	}
	down(err)
	c.walk(t, name, err)
	if _, ok := errors.AsType[*url.Error](err); ok {
		t.Errorf("%s holds a *url.Error", name)
	}
	if _, ok := errors.AsType[msal.CallErr](err); ok {
		t.Errorf("%s holds MSAL's CallErr", name)
	}
	if _, ok := errors.AsType[*msal.CallErr](err); ok {
		t.Errorf("%s holds MSAL's *CallErr", name)
	}
	if _, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		t.Errorf("%s holds azidentity's AuthenticationFailedError", name)
	}
	if _, ok := errors.AsType[*azcore.ResponseError](err); ok {
		t.Errorf("%s holds azcore's ResponseError", name)
	}
}

// foreign is a struct of somebody's program. fmt calls no methods on its
// unexported fields.
type foreign struct {
	client *apponly.Client
	cred   apponly.Credential
	token  apponly.Token
	ptr    *apponly.Token
	err    error
	any    any
	list   []any
	m      map[string]apponly.Token
}

func TestNothingPrintsASecret(t *testing.T) {
	// In a bubble, because printing a client while a flight is landing would be
	// a race, and there one can wait for the landing.
	synctest.Test(t, testNothingPrintsASecret)
}

func testNothingPrintsASecret(t *testing.T) {
	s := newSTS(t)
	s.App().AddSecret(canarySecret, time.Now().Add(time.Hour))
	dir := t.TempDir()
	assertion := s.FederatedToken()
	cert := s.Certificate()
	c := canaries{canarySecret, assertion[strings.LastIndexByte(assertion, '.'):], string(cert.Key.D.Bytes()), cert.Key.D.String(), cert.Key.Primes[0].String()}

	secretFile := writeFile(t, filepath.Join(dir, "secret"), []byte(canarySecret))
	assertionFile := writeFile(t, filepath.Join(dir, "assertion"), []byte(assertion))
	certFile := writeFile(t, filepath.Join(dir, "cert.pem"), cert.PEM())
	keyFile := writeFile(t, filepath.Join(dir, "tls.key"), cert.KeyPEM())
	crtFile := writeFile(t, filepath.Join(dir, "tls.crt"), append(cert.CertPEM(), certPEM(certificateFor(t, cert.Key, "renewed", time.Now(), time.Now().Add(time.Hour)))...))
	passwordFile := writeFile(t, filepath.Join(dir, "password"), []byte(canarySecret))
	sources := map[string]apponly.AssertionSource{
		"AssertionFile": apponly.AssertionFile(assertionFile),
		"AssertionFunc": apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) { return assertion, nil }),
	}
	creds := map[string]apponly.Credential{
		"Secret":          apponly.Secret(canarySecret),
		"SecretFile":      apponly.SecretFile(secretFile),
		"Certificate":     apponly.Certificate(certs(cert.Leaf), cert.Key, nil),
		"CertificateFile": apponly.CertificateFile(certFile, &apponly.CertificateFileOptions{SendX5C: true}),
		// What is kept of parsed keys, of two certificates, of a signer's assertions.
		"CertificateFiles":    apponly.CertificateFile(crtFile, &apponly.CertificateFileOptions{KeyFile: keyFile, PasswordFile: passwordFile}),
		"CertificatePassword": apponly.CertificateFile(crtFile, &apponly.CertificateFileOptions{KeyFile: keyFile, Password: canarySecret}),
		"CertificateSigner": apponly.CertificateSigner(certs(cert.Leaf), func(_ context.Context, digest []byte, o crypto.SignerOpts) ([]byte, error) {
			return cert.Key.Sign(rand.Reader, digest, o)
		}, nil),
		"FederatedFile": apponly.Federated(sources["AssertionFile"]),
		"FederatedFunc": apponly.Federated(sources["AssertionFunc"]),
	}
	var values []struct {
		name string
		v    any
	}
	add := func(name string, v any) {
		values = append(values, struct {
			name string
			v    any
		}{name, v})
	}
	var log bytes.Buffer
	var mu sync.Mutex
	var events []apponly.Event
	for name, src := range sources {
		add(name, src)
	}
	for name, cred := range creds {
		o := s.options()
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.OnEvent = func(_ context.Context, e apponly.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}
		client, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, o)
		if err != nil {
			t.Fatal(err)
		}
		tok := mustToken(t, client, s.API().Scope())
		c = append(c, tok.Value()[strings.LastIndexByte(tok.Value(), '.'):]) // its signature
		rt, err := apponly.NewTransport(client, s.API().Scope(), &apponly.TransportOptions{Hosts: []string{"api.example.test"}})
		if err != nil {
			t.Fatal(err)
		}
		azure, err := apponly.FromTokenCredential(client.TokenCredential(), &apponly.Options{Cache: o.Cache})
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, azure, s.API().Scope())
		refusal := &apponly.Error{Kind: apponly.ErrSecretInvalid, Code: 7000215}
		add(name, cred)
		add("Client of "+name, client)
		f := foreign{client, cred, tok, &tok, refusal, tok, []any{tok, &tok, cred, client, rt}, map[string]apponly.Token{"x": tok}}
		add("foreign struct", f)
		if name != "Secret" {
			continue
		}
		add("*foreign struct", &f)
		add("Client of a TokenCredential of "+name, azure)
		add("Token", tok)
		add("*Token", &tok)
		add("Tokens", []apponly.Token{tok})
		add("Token in a map", map[string]apponly.Token{"x": tok})
		add("Options", o)
		add("Options by value", *o)
		add("Transport", rt)
		add("TokenRequest", apponly.TokenRequest{Scope: "x/.default", Rejected: tok})
		add("TokenCredential", client.TokenCredential())
		add("Status", client.Status())
		add("Stats", o.Cache.Stats())
		add("Error", refusal)
	}
	t.Setenv("AZURE_CLIENT_SECRET", canarySecret)
	t.Setenv("AZURE_TENANT_ID", s.Tenant().ID())
	t.Setenv("AZURE_CLIENT_ID", canarySecret) // swapped
	add("EnvExplanation", apponly.ExplainEnv(nil))
	synctest.Wait()
	mu.Lock()
	add("events", events)
	mu.Unlock()
	if len(events) == 0 || log.Len() == 0 {
		t.Error("no events or no log to look at")
	}
	if found := c.find(log.String()); found != "" {
		t.Errorf("the log shows %q", found)
	}
	for _, v := range values {
		c.checkPrinted(t, v.name, v.v)
		c.walk(t, v.name, v.v)
	}
}

// The walk would find what it looks for.
func TestCanaryIsFound(t *testing.T) {
	c := canaries{canarySecret}
	for _, v := range []any{
		struct{ s string }{canarySecret}, &struct{ b []byte }{[]byte(canarySecret)}, errors.New(canarySecret),
		map[string]any{"x": []any{&struct{ e error }{fmt.Errorf("x: %w", errors.New(url.QueryEscape(canarySecret)))}}},
		&rsa.PrivateKey{D: big.NewInt(1)},
	} {
		fake := &testing.T{}
		c.walk(fake, "", v)
		if !fake.Failed() {
			t.Errorf("nothing found in %T", v)
		}
	}
	if c.find("x"+html.EscapeString(canarySecret)) == "" || c.find("harmless") != "" {
		t.Error("find does not work")
	}
}

// quoting is an error of somebody's middleware that keeps and shows the request.
type quoting struct {
	body string
	req  *http.Request
}

func (q *quoting) Error() string { return "middleware: " + q.body }
func (q *quoting) Unwrap() error { return &url.Error{Op: "Post", URL: q.body, Err: errors.New(q.body)} }

// body returns the whole of a request's body as it was sent.
func bodyOf(r *http.Request) string {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Whatever the server or the caller's middleware does with what it was sent, it
// does not come back in an error.
func TestNoErrorHoldsASecret(t *testing.T) {
	const token = "eyJ0eXAiOiJKV1QifQ.eyJjYW5hcnkiOiJhY2Nlc3MgdG9rZW4ifQ.c2lnbmF0dXJlLW9mLXRoZS1jYW5hcnk"
	type fault = func(*http.Request) (*http.Response, error)
	answer := func(code int, contentType string, body func(sent string) string) fault {
		return func(r *http.Request) (*http.Response, error) {
			return status(code, body(bodyOf(r)), "Content-Type", contentType)(r)
		}
	}
	const jsonType, htmlType = "application/json", "text/html"
	member := func(name string, change func(string) string) fault {
		return answer(400, jsonType, func(sent string) string {
			return fmt.Sprintf(`{"error":"invalid_client","error_codes":[7000215],%q:%s}`, name, quote("you sent "+change(sent)))
		})
	}
	same := func(s string) string { return s }
	plain := func(s string) string { // the credential alone, as it is
		form, _ := url.ParseQuery(s)
		return form.Get("client_secret") + form.Get("client_assertion")
	}
	constant := func(s string) func(string) string { return func(string) string { return s } }
	faults := map[string]fault{
		"HTML 200":             answer(200, htmlType, func(s string) string { return "<pre>" + html.EscapeString(s) + "</pre>" }),
		"HTML 400":             answer(400, htmlType, same),
		"HTML 502":             answer(502, htmlType, same),
		"echo 200":             answer(200, jsonType, same),
		"echo 429":             answer(429, "text/plain", same),
		"JSON string":          answer(200, jsonType, quote),
		"error 200":            answer(200, jsonType, func(s string) string { return `{"error":"x","error_description":` + quote(s) + `}` }),
		"description":          member("error_description", same),
		"description plain":    member("error_description", plain),
		"description HTML":     member("error_description", func(s string) string { return html.EscapeString(plain(s)) }),
		"description path":     member("error_description", func(s string) string { return url.PathEscape(plain(s)) }),
		"description cut":      member("error_description", func(s string) string { return plain(s)[:len(plain(s))/2] }),
		"description cut HTML": member("error_description", func(s string) string { return html.EscapeString(plain(s)[2:30]) }),
		"description trace":    member("error_description", func(s string) string { return "Trace ID: " + plain(s) }),
		"error":                answer(400, jsonType, func(s string) string { return `{"error":` + quote(plain(s)) + `}` }),
		"suberror":             member("suberror", plain),
		"claims":               member("claims", plain),
		"trace_id":             member("trace_id", plain),
		"correlation_id":       member("correlation_id", plain),
		"timestamp":            member("timestamp", plain),
		"redirect": func(r *http.Request) (*http.Response, error) {
			return status(307, "", "Location", "https://x.test/?"+bodyOf(r))(r)
		},
		"Retry-After": func(r *http.Request) (*http.Response, error) {
			return status(400, "", "Retry-After", plain(bodyOf(r)))(r)
		},
		"Content-Type": func(r *http.Request) (*http.Response, error) {
			return status(400, "", "Content-Type", plain(bodyOf(r)))(r)
		},
		"token without type":       answer(200, jsonType, constant(`{"access_token":"`+token+`","expires_in":3600}`)),
		"token of another type":    answer(200, jsonType, constant(`{"access_token":"`+token+`","expires_in":3600,"token_type":"mac"}`)),
		"token without lifetime":   answer(200, jsonType, constant(`{"access_token":"`+token+`","token_type":"Bearer"}`)),
		"token cut off":            answer(200, jsonType, constant(`{"token_type":"Bearer","expires_in":3600,"access_token":"`+token)),
		"token and garbage":        answer(200, jsonType, constant(`{"token_type":"Bearer","expires_in":3600,"access_token":"`+token+`"}}}`)),
		"token as HTML":            answer(200, htmlType, constant(`{"token_type":"Bearer","expires_in":3600,"access_token":"`+token+`"}`)),
		"token with line break":    answer(200, jsonType, constant(`{"token_type":"Bearer","expires_in":3600,"access_token":"`+token+`\n"}`)),
		"token with odd scope":     answer(200, jsonType, constant(`{"token_type":"Bearer","expires_in":{},"scope":1,"access_token":"`+token+`"}`)),
		"token in the description": answer(200, jsonType, constant(`{"access_token":"`+token+`","error":"x","error_description":"`+token+`"}`)),
		"token with a refusal":     answer(400, jsonType, constant(`{"access_token":"`+token+`","error":"`+token+`"}`)),
		"plain error":              func(r *http.Request) (*http.Response, error) { return nil, errors.New(bodyOf(r)) },
		"wrapped error":            func(r *http.Request) (*http.Response, error) { return nil, fmt.Errorf("%s: %w", bodyOf(r), io.EOF) },
		"keeping error":            func(r *http.Request) (*http.Response, error) { return nil, &quoting{bodyOf(r), r} },
		"op error": func(r *http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "read", Err: &quoting{bodyOf(r), r}}
		},
		"DNS error": func(r *http.Request) (*http.Response, error) {
			return nil, &net.DNSError{Err: bodyOf(r), Name: "x", UnwrapErr: &quoting{bodyOf(r), r}}
		},
		"timeout error": func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("%s: %w", bodyOf(r), context.DeadlineExceeded)
		},
		"panic": func(r *http.Request) (*http.Response, error) { panic(bodyOf(r)) },
		"body error": func(r *http.Request) (*http.Response, error) {
			resp, err := status(200, "")(r)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(token), errReader{errors.New(bodyOf(r))}))
			return resp, err
		},
	}
	names := make([]string, 0, len(faults))
	for name := range faults {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				assertion := s.FederatedToken()
				sig := assertion[strings.LastIndexByte(assertion, '.')+1:]
				c := canaries{canarySecret, canarySecret[3:25], assertion, sig, assertion[:len(assertion)/2], token, token[strings.LastIndexByte(token, '.')+1:]}
				var log bytes.Buffer
				for _, cred := range []apponly.Credential{
					apponly.Secret(canarySecret),
					apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) { return assertion, nil })),
				} {
					s.setFault(faults[name])
					o := s.options()
					o.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
					var events []apponly.Event
					o.OnEvent = func(_ context.Context, e apponly.Event) { events = append(events, e) }
					client, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, o)
					if err != nil {
						t.Fatal(err)
					}
					_, err = client.Token(t.Context(), s.API().Scope())
					asError(t, err)
					c.checkError(t, name, err)
					synctest.Wait()
					c.walk(t, name+" status", client.Status())
					c.walk(t, name+" client", client)
					_, err = client.Token(t.Context(), s.API().Scope()) // from memory
					asError(t, err)
					synctest.Wait()
					c.walk(t, name+" remembered", err)
					if len(events) == 0 {
						t.Error("no event")
					}
					c.walk(t, name+" events", events)
				}
				if found := c.find(log.String()); found != "" {
					t.Errorf("the log shows %q", found)
				}
			})
		})
	}
}

// A secret is found in an echo in which no piece of it stands as it is.
func TestEscapedEchoIsWithheld(t *testing.T) {
	s := newSTS(t)
	const secret = `p/q+r=s&t/u"v=w&x/y+z=1<2/3>4`
	for name, escape := range map[string]func(string) string{"URL": url.QueryEscape, "HTML": html.EscapeString} {
		s.setFault(status(400, `{"error":"invalid_client","error_description":`+quote("got "+escape(secret))+`}`))
		_, err := s.with(t, apponly.Secret(secret)).Token(t.Context(), s.API().Scope())
		if e := asError(t, err); e.Description != "[redacted]" {
			t.Errorf("%s: description = %q", name, e.Description)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// Errors of local material quote nothing of it.
func TestMaterialIsNotQuoted(t *testing.T) {
	const canary = "CanaryOfTheMaterial0123456789"
	c := canaries{canary}
	s := newSTS(t)
	dir := t.TempDir()
	n := 0
	file := func(data string) string {
		n++
		return writeFile(t, filepath.Join(dir, fmt.Sprint(n)), []byte(data))
	}
	jwt := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + canary
	}
	for i, cred := range []apponly.Credential{
		apponly.Secret(canary + "\n" + canary),
		apponly.Secret(canary + "\xff"),
		apponly.SecretFile(file(canary + "\n" + canary)),
		apponly.SecretFile(file(canary + "\xff")),
		apponly.CertificateFile(file(canary), nil),
		apponly.CertificateFile(file("-----BEGIN PRIVATE KEY-----\n"+canary+"\n-----END PRIVATE KEY-----\n"), nil),
		apponly.CertificateFile(file("-----BEGIN CERTIFICATE-----\n"+canary+"AAA\n-----END CERTIFICATE-----\n"), nil),
		apponly.CertificateFile(file("-----BEGIN "+canary+"-----\nAAAA\n-----END "+canary+"-----\n"), nil),
		apponly.CertificateFile(file(string(encode("PRIVATE KEY", []byte(canary)))), nil),
		apponly.CertificateFile(file(string(encode("RSA PRIVATE KEY", []byte(canary)))), nil),
		apponly.CertificateFile(file(string(encode("CERTIFICATE", []byte(canary)))), nil),
		apponly.Federated(apponly.AssertionFile(file(canary))),
		apponly.Federated(apponly.AssertionFile(file(canary + "." + canary + "." + canary))),
		apponly.Federated(apponly.AssertionFile(file(jwt(canary)))),
		apponly.Federated(apponly.AssertionFile(file(jwt(`{"sub":"` + canary + `","exp":1}`)))),
		apponly.Federated(apponly.AssertionFile(file(jwt(`{"exp":"` + canary + `"}`)))),
	} {
		name := fmt.Sprintf("material %d", i)
		client, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, s.options())
		if err == nil {
			_, err = client.Token(t.Context(), s.API().Scope())
		}
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		c.checkError(t, name, err)
	}
}

// azidentity's errors hold the request, and with it the secret: a program that
// logs one with a reflecting logger has logged the secret.
func TestAzidentityErrorIsNotWrapped(t *testing.T) {
	s := newSTS(t)
	cred, err := azidentity.NewClientSecretCredential(s.Tenant().ID(), s.App().ClientID(), canarySecret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Transport: s.http,
			Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: s.Cloud().Authority()},
		},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := apponly.FromTokenCredential(cred, &apponly.Options{Cache: apponly.NewCache(nil)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrSecretInvalid, "AADSTS7000215")
	canaries{canarySecret}.checkError(t, "azidentity", err)
}
