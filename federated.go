// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/flight"
)

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

// AssertionFile returns a source that reads the assertion from a file each
// time, such as a projected service account token of Kubernetes or what
// spiffe-helper writes. White space around it is dropped; the file may be at
// most 1 MiB. The path is taken relative to the working directory of now.
func AssertionFile(path string) AssertionSource {
	if err := checkPath("the path of AssertionFile", path); err != nil {
		return noAssertionFile(err.Error())
	}
	return assertionFile(absolute(path))
}

// noAssertionFile is the fault of what was given for a path.
type noAssertionFile string

// Assertion returns the fault.
func (f noAssertionFile) Assertion(context.Context, AssertionRequest) (string, error) {
	return "", errorf(ErrCredentialUnavailable, "%s", string(f))
}

type assertionFile string

// Assertion reads the file.
func (f assertionFile) Assertion(context.Context, AssertionRequest) (string, error) {
	b, err := readFile(string(f))
	return string(b), err
}

// Federated returns a credential that proves the app by an assertion of another
// issuer (workload identity federation): see
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation.
//
// Clients built with an equal, comparable source such as [AssertionFile] share
// their tokens. A source that is not comparable, such as an [AssertionFunc],
// makes a credential that is equal only to itself: build it once and keep it.
func Federated(src AssertionSource) Credential {
	f := &federated{src: src}
	c := &credential{id: unique(), resolve: f.resolve}
	if reflect.ValueOf(src).Comparable() {
		c.id = federatedID{src}
	}
	switch src := src.(type) {
	case nil:
		c.err = errorf(ErrCredentialMissing, "apponly: assertion source is nil")
	case AssertionFunc:
		if src == nil {
			c.err = errorf(ErrCredentialMissing, "apponly: assertion function is nil")
		}
	case noAssertionFile:
		_, c.err = src.Assertion(context.Background(), AssertionRequest{})
	case assertionFile:
		f.path, c.files = string(src), []string{string(src)}
		if src == "" {
			c.err = errorf(ErrCredentialMissing, "apponly: path of the assertion file is empty")
		}
	}
	return c
}

// federatedID is the identity of a federated credential: its source.
type federatedID struct{ src AssertionSource }

type federated struct {
	src  AssertionSource
	path string // of the file, if the source is one
	hung flight.Guard
}

// expiryGrace is how long after its exp an assertion is still sent while Entra
// has not answered once: the local clock may be the one that is wrong.
const expiryGrace = 5 * time.Minute

// rereadAfter is when an expired assertion is read again: it may be renewed at
// this very moment.
const rereadAfter = 250 * time.Millisecond

func (f *federated) resolve(ctx context.Context, req AssertionRequest) (*material, error) {
	assertion, exp, err := f.read(ctx, req)
	if err == nil && req.expired(exp) {
		select {
		case <-time.After(rereadAfter):
		case <-ctx.Done():
		}
		if assertion, exp, err = f.read(ctx, req); err == nil && req.expired(exp) {
			err = f.expiredError(exp)
		}
	}
	if err != nil {
		return nil, err
	}
	p := proof{value: func() string { return assertion }, assertion: true, expires: exp, refusedAs: ErrAssertionInvalid}
	return fixedMaterial(p, material{perRequest: f.path == ""}), nil
}

// read returns an assertion and when it ends, zero if that cannot be read.
func (f *federated) read(ctx context.Context, req AssertionRequest) (assertion string, exp time.Time, err error) {
	assertion, err = flight.Run(ctx, &f.hung, "the source", func(ctx context.Context) (string, error) {
		return f.src.Assertion(ctx, req)
	})
	if err != nil {
		return "", exp, errorf(ErrCredentialUnavailable, "federated assertion: %w", err)
	}
	assertion = strings.TrimSpace(assertion)
	exp, err = expiryOf(assertion)
	if err != nil {
		err = errorf(ErrCredentialUnavailable, "federated assertion%s %w", f.where(), err)
	}
	return assertion, exp, err
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

// expiryOf looks at the form of an assertion, before a request is spent on a
// file that holds something else, and returns its exp if it has one that can be
// read. Audience and algorithm are Entra's to judge.
func expiryOf(assertion string) (exp time.Time, err error) {
	if assertion == "" {
		return exp, errors.New("is empty")
	}
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || strings.ContainsAny(assertion, " \t\r\n") {
		return exp, errors.New("is not a JWT of three parts separated by dots")
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return exp, errors.New("is not a JWT: its payload is not base64url")
	}
	var claims struct {
		Exp json.Number `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return exp, errors.New("is not a JWT: its payload is not a JSON object")
	}
	if seconds, err := claims.Exp.Float64(); err == nil && seconds > 0 && seconds < 1e11 {
		exp = time.Unix(int64(seconds), 0)
	}
	return exp, nil
}

// where names the file, if the source is one.
func (f *federated) where() string {
	if f.path == "" {
		return ""
	}
	return " in " + f.path
}

func (f *federated) expiredError(exp time.Time) error {
	e := &localError{
		kind:   ErrAssertionExpired,
		text:   fmt.Sprintf("federated assertion%s has expired and was not renewed", f.where()),
		detail: "exp " + exp.UTC().Format(time.RFC3339),
	}
	if info, err := os.Stat(f.path); f.path != "" && err == nil {
		e.detail += ", file written " + info.ModTime().UTC().Format(time.RFC3339)
	}
	return e
}
