// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
// asked for and nothing else. After one that ignored ctx, it is, until it has returned,
// tried again after five minutes and ever less often.
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
// spiffe-helper writes. White space and a
// byte order mark around it are dropped; the file may be at
// most 1 MiB. The path is taken relative to the working directory of now.
func AssertionFile(path string) AssertionSource {
	if err := checkPath(ErrCredentialUnavailable, "the path of AssertionFile", path); err != nil {
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
	c := &credential{id: unique(), federated: true, resolve: f.resolve}
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
		f.path, c.files = string(src), watch(string(src))
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

func (f *federated) resolve(ctx context.Context, req AssertionRequest, files *fileReader) (*material, error) {
	assertion, claims, err := f.read(ctx, req, files)
	if err == nil && req.expired(claims.expires()) {
		select {
		case <-time.After(rereadAfter):
		case <-ctx.Done():
		}
		if assertion, claims, err = f.read(ctx, req, files); err == nil && req.expired(claims.expires()) {
			err = f.expiredError(ctx, claims.expires(), files)
		}
	}
	if err != nil {
		return nil, err
	}
	p := proof{
		value: func() string { return assertion }, assertion: true, expires: claims.expires(), refusedAs: ErrAssertionInvalid,
		sent: sentProof{issuer: claims.Issuer, subject: claims.Subject, audience: claims.audience()},
	}
	return fixedMaterial(p, material{perRequest: f.path == ""}), nil
}

// read returns an assertion and what it claims.
func (f *federated) read(ctx context.Context, req AssertionRequest, files *fileReader) (assertion string, claims assertionClaims, err error) {
	if f.path != "" {
		assertion, err = readWith(ctx, files, f.path, func() (string, error) { return f.src.Assertion(ctx, req) })
	} else {
		assertion, err = flight.Run(ctx, &f.hung, "the source", func(ctx context.Context) (string, error) {
			return f.src.Assertion(ctx, req)
		})
	}
	if err != nil {
		return "", claims, errorf(ErrCredentialUnavailable, "federated assertion: %w", err)
	}
	assertion = strings.TrimSpace(outsideText(assertion))
	claims, err = readClaims(assertion)
	if err != nil {
		err = errorf(ErrCredentialUnavailable, "federated assertion%s %w", f.where(), err)
	}
	return assertion, claims, err
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

// assertionClaims are those of an assertion that are of use here. They are hints:
// Entra judges.
type assertionClaims struct {
	Issuer, Subject string
	Audience        []string
	Exp             json.Number
}

// expires returns when the assertion ends, zero if that cannot be read.
func (c assertionClaims) expires() (exp time.Time) {
	if seconds, err := c.Exp.Float64(); err == nil && seconds > 0 && seconds < 1e11 {
		exp = time.Unix(int64(seconds), 0)
	}
	return exp
}

func (c assertionClaims) audience() string { return strings.Join(c.Audience, " ") }

// readClaims looks at the form of an assertion, before a request is spent on a
// file that holds something else, and at its claims.
func readClaims(assertion string) (claims assertionClaims, err error) {
	if assertion == "" {
		return claims, errors.New("is empty")
	}
	parts := strings.Split(assertion, ".")
	switch {
	case strings.HasPrefix(assertion, "{") || strings.HasPrefix(assertion, "["):
		// GitHub's token service answers {"value":"<JWT>"}, others {"token": …}.
		return claims, errors.New("is JSON, not the JWT inside it: take that out, with jq -r .value, for example")
	case len(assertion) > 7 && strings.EqualFold(assertion[:7], "bearer "):
		return claims, errors.New(`begins with "Bearer": want the JWT alone`)
	case strayText(assertion) != nil:
		return claims, fmt.Errorf("is not a JWT alone: it %w", strayText(assertion))
	case len(parts) != 3 || strings.ContainsAny(assertion, " \t"):
		return claims, errors.New("is not a JWT of three parts separated by dots")
	}
	payload, err := decodePart(parts[1])
	if err != nil {
		return claims, errors.New("is not a JWT: its payload is not base64url")
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil || members == nil {
		return claims, errors.New("is not a JWT: its payload is not a JSON object")
	}
	if _, err := decodePart(parts[0]); err != nil {
		return claims, errors.New("is not a JWT: its header is not base64url")
	}
	if _, err := decodePart(parts[2]); err != nil {
		return claims, errors.New("is not a JWT: its signature is not base64url")
	}
	// What is of another type than it should be is left out.
	json.Unmarshal(members["iss"], &claims.Issuer)
	json.Unmarshal(members["sub"], &claims.Subject)
	json.Unmarshal(members["exp"], &claims.Exp)
	var one string
	if json.Unmarshal(members["aud"], &one) == nil && one != "" {
		claims.Audience = []string{one}
	} else {
		json.Unmarshal(members["aud"], &claims.Audience)
	}
	return claims, nil
}

func decodePart(part string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
}

// where names the file, if the source is one.
func (f *federated) where() string {
	if f.path == "" {
		return ""
	}
	return " in " + f.path
}

func (f *federated) expiredError(ctx context.Context, exp time.Time, files *fileReader) error {
	e := &localError{
		kind:   ErrAssertionExpired,
		text:   fmt.Sprintf("federated assertion%s has expired and was not renewed", f.where()),
		detail: "exp " + exp.UTC().Format(time.RFC3339),
	}
	if f.path == "" {
		return e
	}
	info, err := readWith(ctx, files, f.path, func() (fs.FileInfo, error) { return os.Stat(f.path) })
	if err == nil {
		e.detail += ", file written " + info.ModTime().UTC().Format(time.RFC3339)
	}
	return e
}
