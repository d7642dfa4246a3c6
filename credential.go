// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"

	"github.com/apponly/apponly/internal/flight"
)

// A Credential is how an app proves who it is. Make one with [Secret],
// [SecretFile], [SecretFunc], [Certificate], [CertificateFile],
// [CertificateFunc], [CertificateSigner], [Federated] or [FirstOf] and give it
// to [New], which reports what is wrong with it. A managed identity is not one:
// see [FromTokenCredential].
//
// The interface is sealed; what can be plugged in are functions, an
// [AssertionSource] and the key of a certificate. Credentials are safe for
// concurrent use and may be shared by clients. None of them can be printed: their
// material is read for each token request, or held where fmt does not reach.
type Credential interface {
	// members are the credentials to try, in order.
	members() []*credential
}

// A credential is one way to prove the app.
type credential struct {
	// id is comparable, equal for credentials that are interchangeable, and does
	// not change when the material rotates: it is part of what clients share
	// tokens by.
	id any
	// err is what was found wrong without I/O.
	err error
	// federated says that what proves the app is another issuer's word.
	federated bool
	// files are those behind the credential, if any.
	files watchedFiles
	// resolve reads the material for one token request: from files, with the
	// reader of the identity, from callbacks. Its errors hold no material.
	resolve func(ctx context.Context, req AssertionRequest, files *fileReader) (*material, error)
}

func (c *credential) members() []*credential { return []*credential{c} }

// unique returns an identity that is equal only to itself.
func unique() any { return new(byte) }

// FirstOf returns a credential that is the first of creds that works: the
// secret of today and the one of tomorrow, or a certificate and a secret for
// when it has ended. A credential that Entra refuses for its own fault, or that
// cannot be read, is passed over for that tenant for five minutes, or until it
// changes; the next one then serves. An app that is unknown in a tenant, a
// policy or an outage is no fault of a credential's and changes nothing.
func FirstOf(creds ...Credential) Credential {
	var f firstOf
	for _, c := range creds {
		if c == nil {
			c = &credential{err: errorf(ErrCredentialMissing, "apponly: FirstOf has a nil credential")}
		}
		f = append(f, c.members()...)
	}
	return f
}

type firstOf []*credential

func (f firstOf) members() []*credential { return f }

// membersOf returns the credentials that cred stands for, and what was found
// wrong with any of them.
func membersOf(cred Credential) ([]*credential, error) {
	if cred == nil {
		return nil, errorf(ErrCredentialMissing, "apponly: credential is nil")
	}
	members := cred.members()
	if len(members) == 0 {
		return nil, errorf(ErrCredentialMissing, "apponly: FirstOf has no credential")
	}
	var errs []error
	for _, m := range members {
		errs = append(errs, m.err)
	}
	return members, errors.Join(errs...)
}

// identityOf returns what members are known by, which is comparable. A FirstOf of
// one credential is that credential.
func identityOf(members []*credential) any {
	type list struct{ first, rest any }
	if len(members) == 1 {
		return members[0].id
	}
	return list{members[0].id, identityOf(members[1:])}
}

// Secret returns a client secret given by value. A byte order mark and one trailing
// line break are dropped; a value with blanks or quotes around it, or characters in
// it that cannot be seen, is refused. Prefer [SecretFile]: it follows a rotation without a restart.
//
// Clients built with the same value share their tokens.
func Secret(value string) Credential {
	value = outsideText(value)
	c := &credential{id: macOf(value)}
	if err := checkSecret(value); err != nil {
		c.err = errorf(ErrCredentialMissing, "apponly: client secret %w", err)
	}
	c.resolve = func(context.Context, AssertionRequest, *fileReader) (*material, error) {
		return secretMaterial(value), nil
	}
	return c
}

// SecretFile returns a client secret that is read from a file for every token
// request, so that a new one counts from the next request on. It is taken as by
// [Secret]; the file may be at most 1 MiB. The path is taken relative
// to the working directory of now.
func SecretFile(path string) Credential {
	type secretFile struct{ path string }
	if err := checkPath(ErrCredentialUnavailable, "the path of SecretFile", path); err != nil {
		return &credential{err: err}
	}
	path = absolute(path)
	c := &credential{id: secretFile{path}, files: watch(path)}
	if path == "" {
		c.err = errorf(ErrCredentialMissing, "apponly: path of the secret file is empty")
	}
	c.resolve = func(ctx context.Context, _ AssertionRequest, files *fileReader) (*material, error) {
		b, err := readWith(ctx, files, path, func() ([]byte, error) { return readFile(path) })
		if err != nil {
			return nil, errorf(ErrCredentialUnavailable, "secret file: %w", err)
		}
		return readSecret(string(b), "secret file "+path)
	}
	return c
}

// SecretFunc returns a client secret that fn is asked for at every token
// request, about once an hour for each tenant and scope: a vault, for example.
// It is taken as by [Secret].
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. fn must be safe for concurrent use.
// One that panics or ends its goroutine fails the request it was asked for; one
// that does not return in time is abandoned, and until it has, tried again after five
// minutes and ever less often.
func SecretFunc(fn func(ctx context.Context) (string, error)) Credential {
	c := &credential{id: unique()}
	if fn == nil {
		c.err = errorf(ErrCredentialMissing, "apponly: secret function is nil")
	}
	var hung flight.Guard
	c.resolve = func(ctx context.Context, _ AssertionRequest, _ *fileReader) (*material, error) {
		value, err := flight.Run(ctx, &hung, "the function", fn)
		if err != nil {
			return nil, errorf(ErrCredentialUnavailable, "client secret: %w", err)
		}
		return readSecret(value, "client secret of the function")
	}
	return c
}

// readSecret makes material of a secret that was read from somewhere.
func readSecret(value, where string) (*material, error) {
	value = outsideText(value)
	if err := checkSecret(value); err != nil {
		return nil, errorf(ErrCredentialUnavailable, "%s %w", where, err)
	}
	return secretMaterial(value), nil
}

func secretMaterial(value string) *material {
	p := proof{value: func() string { return value }, refusedAs: ErrSecretInvalid, resemblance: resemblance(value)}
	return fixedMaterial(p, material{reusable: true})
}

func checkSecret(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	return strayText(s)
}
