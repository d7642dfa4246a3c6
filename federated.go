// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
)

// An AssertionRequest says what an assertion is for.
type AssertionRequest struct {
	TenantID, ClientID string
	// TokenEndpoint is the URL the assertion will be sent to.
	TokenEndpoint string
	// Audience is what a federated assertion is expected to be made out to in
	// this cloud.
	Audience string

	skew       time.Duration // Entra's clock less ours
	clockKnown bool
}

// now returns the time by Entra's clock, as far as it is known.
func (r AssertionRequest) now() time.Time { return time.Now().Add(r.skew) }

// An AssertionSource gets a token of an outside issuer that an app or a managed
// identity trusts by a federated credential. It is asked for every token
// request and need not keep anything; it must be safe for concurrent use.
//
// One that panics, ends its goroutine or ignores ctx fails the request it was
// asked for and nothing else. After one that ignored ctx, it is not asked again
// before it has returned.
type AssertionSource interface {
	// Assertion returns a signed JWT. Its lifetime is read from the exp claim.
	Assertion(ctx context.Context, req AssertionRequest) (string, error)
}

// AssertionFunc makes a function an [AssertionSource].
type AssertionFunc func(ctx context.Context, req AssertionRequest) (string, error)

// Assertion calls f.
func (f AssertionFunc) Assertion(ctx context.Context, req AssertionRequest) (string, error) {
	return f(ctx, req)
}

// Federated returns a credential that proves the app by an assertion of another
// issuer (workload identity federation): see
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation.
//
// Clients built with an equal, comparable source such as [AssertionFile] share
// their tokens. A source that is not comparable, such as an [AssertionFunc],
// makes a credential that is equal only to itself: build it once and keep it.
func Federated(src AssertionSource) Credential { return &federated{src: src} }

type federated struct {
	src  AssertionSource
	gate gate
}

// federatedID is the identity of a federated credential: its source.
type federatedID struct{ src AssertionSource }

func (f *federated) identity() any {
	if reflect.ValueOf(f.src).Comparable() {
		return federatedID{f.src}
	}
	return f
}

func (f *federated) check() error {
	switch src := f.src.(type) {
	case nil:
		return faultf(ErrCredentialMissing, "apponly: assertion source is nil")
	case AssertionFunc:
		if src == nil {
			return faultf(ErrCredentialMissing, "apponly: assertion function is nil")
		}
	case assertionFile:
		if src == "" {
			return faultf(ErrCredentialMissing, "apponly: path of the assertion file is empty")
		}
	}
	return nil
}

func (f *federated) stamp() string {
	if path, ok := f.src.(assertionFile); ok {
		return fileStamp(string(path))
	}
	return ""
}

// expiryGrace is how long after its exp an assertion is still sent while Entra
// has not answered once: the local clock may be the one that is wrong.
const expiryGrace = 5 * time.Minute

// rereadAfter is when an expired assertion file is read again: whoever renews
// it may be about to.
const rereadAfter = 250 * time.Millisecond

func (f *federated) resolve(ctx context.Context, req AssertionRequest) (*material, error) {
	assertion, err := f.read(ctx, req)
	if err != nil {
		return nil, err
	}
	exp, err := f.checkAssertion(assertion)
	if err == nil && req.expired(exp) {
		select {
		case <-time.After(rereadAfter):
		case <-ctx.Done():
		}
		if assertion, err = f.read(ctx, req); err != nil {
			return nil, err
		}
		if exp, err = f.checkAssertion(assertion); err == nil && req.expired(exp) {
			err = f.expiredError(exp)
		}
	}
	if err != nil {
		return nil, err
	}
	_, isFile := f.src.(assertionFile)
	p := proof{value: func() string { return assertion }, assertion: true, expires: exp, refusedAs: ErrAssertionInvalid}
	return &material{
		fingerprint: macOf(assertion),
		volatile:    !isFile,
		prove:       func(context.Context, AssertionRequest) (proof, error) { return p, nil },
	}, nil
}

func (f *federated) read(ctx context.Context, req AssertionRequest) (string, error) {
	assertion, err := guard(ctx, &f.gate, "the source", func(ctx context.Context) (string, error) {
		return f.src.Assertion(ctx, req)
	})
	if err != nil {
		return "", faultf(ErrCredentialUnavailable, "federated assertion: %w", err)
	}
	return strings.TrimSpace(assertion), nil
}

// expired judges by Entra's clock, as far as it is known, and by ours: a skew
// that was measured wrongly, or has passed, would otherwise have every assertion
// refused here, and Entra never asked, which alone could correct it.
func (r AssertionRequest) expired(exp time.Time) bool {
	if !r.clockKnown {
		exp = exp.Add(expiryGrace)
	}
	return exp.Unix() > 0 && r.now().After(exp) && time.Now().After(exp)
}

// checkAssertion looks at the form of an assertion, before a request is spent
// on a file that holds something else, and returns its exp if it has one that
// can be read. Audience and algorithm are Entra's to judge.
func (f *federated) checkAssertion(assertion string) (exp time.Time, err error) {
	if assertion == "" {
		return exp, faultf(ErrCredentialUnavailable, "federated assertion%s is empty", f.where())
	}
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || strings.ContainsAny(assertion, " \t\r\n") {
		return exp, faultf(ErrCredentialUnavailable, "federated assertion%s is not a JWT of three parts separated by dots", f.where())
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return exp, faultf(ErrCredentialUnavailable, "federated assertion%s is not a JWT: its payload is not base64url", f.where())
	}
	var claims struct {
		Exp json.Number `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return exp, faultf(ErrCredentialUnavailable, "federated assertion%s is not a JWT: its payload is not a JSON object", f.where())
	}
	if seconds, err := claims.Exp.Float64(); err == nil && seconds > 0 && seconds < 1e11 {
		exp = time.Unix(int64(seconds), 0)
	}
	return exp, nil
}

// where names the file, if the source is one.
func (f *federated) where() string {
	if path, ok := f.src.(assertionFile); ok {
		return " in " + string(path)
	}
	return ""
}

func (f *federated) expiredError(exp time.Time) error {
	e := &localError{
		kind:   ErrAssertionExpired,
		text:   fmt.Sprintf("federated assertion%s has expired and was not renewed", f.where()),
		detail: "exp " + exp.UTC().Format(time.RFC3339),
	}
	if path, ok := f.src.(assertionFile); ok {
		if info, err := os.Stat(string(path)); err == nil {
			e.detail += ", file written " + info.ModTime().UTC().Format(time.RFC3339)
		}
	}
	return e
}

// AssertionFile returns a source that reads the assertion from a file each
// time, such as a projected service account token of Kubernetes or what
// spiffe-helper writes. White space around it is dropped; the file may be at
// most 1 MiB. The path is taken relative to the working directory of now.
func AssertionFile(path string) AssertionSource { return assertionFile(absolute(path)) }

type assertionFile string

func (f assertionFile) Assertion(context.Context, AssertionRequest) (string, error) {
	b, err := readFile(string(f))
	return string(b), err
}
