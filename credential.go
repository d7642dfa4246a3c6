// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Credential is how an app proves who it is. Make one with [Secret],
// [SecretFile], [SecretFunc], [Certificate], [CertificateFile],
// [CertificateFunc], [CertificateSigner], [Federated] or [FirstOf] and give it
// to [New], which reports what is wrong with it. A managed identity is not one:
// see [FromTokenCredential].
//
// The interface is sealed; what can be plugged in are functions, an
// [AssertionSource] and the key of a certificate. Credentials are safe for concurrent use and may be
// shared by clients. None of them can be printed: their material is read for
// each token request, or held where fmt does not reach.
type Credential interface {
	// identity is comparable, equal for credentials that are interchangeable,
	// and does not change when the material rotates: it is part of the key that
	// clients share tokens by.
	identity() any
	// check reports what can be found wrong without I/O.
	check() error
	// resolve reads the material for one token request: from files, from
	// callbacks. Its errors hold no material.
	resolve(ctx context.Context, req AssertionRequest) (*material, error)
	// stamp says in what state the files behind the credential are, "" if there
	// are none. It does not read them.
	stamp() string
}

// A proof is what one token request is sent with.
type proof struct {
	value     func() string // the secret or the assertion
	assertion bool
	expires   time.Time // when the material ends, zero if unknown
	// refusedAs is what "invalid_client" without a number Entra is known to use
	// means for this proof.
	refusedAs Kind
}

// processKey makes the identity of a secret worthless outside the process.
var processKey = func() (key [32]byte) {
	rand.Read(key[:])
	return key
}()

func macOf(s string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, processKey[:])
	io.WriteString(h, s)
	return [sha256.Size]byte(h.Sum(nil))
}

// Secret returns a client secret given by value. One trailing line break is
// dropped. Prefer [SecretFile]: it follows a rotation without a restart.
//
// Clients built with the same value share their tokens.
func Secret(value string) Credential {
	value = trimLineBreak(value)
	return &secret{value: func() string { return value }, mac: macOf(value)}
}

type secret struct {
	value func() string
	mac   [sha256.Size]byte
}

func (s *secret) identity() any { return s.mac }
func (s *secret) stamp() string { return "" }
func (s *secret) check() error {
	if err := checkSecret(s.value()); err != nil {
		return faultf(ErrCredentialMissing, "apponly: client secret %w", err)
	}
	return nil
}

func (s *secret) resolve(context.Context, AssertionRequest) (*material, error) {
	return secretMaterial(s.value()), nil
}

func secretMaterial(value string) *material {
	p := proof{value: func() string { return value }, refusedAs: ErrSecretInvalid}
	return &material{
		fingerprint: macOf(value),
		keep:        true,
		prove:       func(context.Context, AssertionRequest) (proof, error) { return p, nil },
	}
}

// SecretFile returns a client secret that is read from a file for every token
// request, so that a new one counts from the next request on. One trailing line
// break is dropped; the file may be at most 1 MiB. The path is taken relative
// to the working directory of now.
func SecretFile(path string) Credential { return secretFile{absolute(path)} }

// secretFile is comparable and its own identity.
type secretFile struct{ path string }

func (s secretFile) identity() any { return s }
func (s secretFile) stamp() string { return fileStamp(s.path) }
func (s secretFile) check() error {
	if s.path == "" {
		return faultf(ErrCredentialMissing, "apponly: path of the secret file is empty")
	}
	return nil
}

func (s secretFile) resolve(context.Context, AssertionRequest) (*material, error) {
	b, err := readFile(s.path)
	if err != nil {
		return nil, faultf(ErrCredentialUnavailable, "secret file: %w", err)
	}
	value := trimLineBreak(string(b))
	if err := checkSecret(value); err != nil {
		return nil, faultf(ErrCredentialUnavailable, "secret file %s %w", s.path, err)
	}
	return secretMaterial(value), nil
}

// SecretFunc returns a client secret that fn is asked for at every token
// request, about once an hour for each tenant and scope: a vault, for example.
// One trailing line break is dropped.
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. fn must be safe for concurrent use.
// One that panics or ends its goroutine fails the request it was asked for; one
// that does not return in time is abandoned and not asked again before it has.
func SecretFunc(fn func(ctx context.Context) (string, error)) Credential {
	return &secretFunc{fn: fn}
}

type secretFunc struct {
	fn   func(ctx context.Context) (string, error)
	gate gate
}

func (s *secretFunc) identity() any { return s }
func (s *secretFunc) stamp() string { return "" }
func (s *secretFunc) check() error {
	if s.fn == nil {
		return faultf(ErrCredentialMissing, "apponly: secret function is nil")
	}
	return nil
}

func (s *secretFunc) resolve(ctx context.Context, _ AssertionRequest) (*material, error) {
	value, err := guard(ctx, &s.gate, "the function", s.fn)
	if err != nil {
		return nil, faultf(ErrCredentialUnavailable, "client secret: %w", err)
	}
	value = trimLineBreak(value)
	if err := checkSecret(value); err != nil {
		return nil, faultf(ErrCredentialUnavailable, "client secret of the function %w", err)
	}
	return secretMaterial(value), nil
}

func checkSecret(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case !utf8.ValidString(s):
		return errors.New("is binary data, not text")
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("has line breaks or control characters inside")
	}
	return nil
}

func trimLineBreak(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}

// maxFile bounds what is read as a credential.
const maxFile = 1 << 20

// readFile reads a file of credential material. Its errors name the path, are
// the same each time, and hold nothing of the content.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plainPathError(path, err)
	}
	switch {
	case info.IsDir():
		return nil, errors.New(path + " is a directory")
	case !info.Mode().IsRegular():
		// Opening a pipe would wait for whoever writes to it.
		return nil, errors.New(path + " is not a regular file")
	case info.Size() > maxFile:
		return nil, errors.New(path + " is larger than 1 MiB")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plainPathError(path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, plainPathError(path, err)
	case len(b) > maxFile:
		return nil, errors.New(path + " is larger than 1 MiB")
	case len(b) == 0:
		return nil, errors.New(path + " is empty")
	}
	return b, nil
}

// plainPathError names the path once and leaves out the system call, which
// differs between attempts to reach the same file.
func plainPathError(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return &pathError{path, err}
}

type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// fileStamp changes when the file does. It follows symbolic links, by which
// Kubernetes swaps mounted secrets.
func fileStamp(paths ...string) string {
	var b strings.Builder
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			b.WriteString("!")
			continue
		}
		b.WriteString(info.ModTime().UTC().Format("20060102150405.000000000;"))
		b.WriteString(info.Mode().String())
		b.WriteString(strconv.FormatInt(info.Size(), 10))
	}
	return b.String()
}

// absolute makes a path independent of later changes of the working directory;
// "" stays "".
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}
