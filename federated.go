// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/assertionsource"
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

// AssertionEnv returns a source that reads the assertion from an environment
// variable, where GitLab, HCP Terraform, CircleCI and Bitbucket put the ID token of a
// job. There is one for the whole job: what runs longer than it is good for fails with
// [ErrAssertionExpired].
func AssertionEnv(name string) AssertionSource {
	return ownSource{assertionsource.Variable{Name: name}}
}

// GitHubActions returns a source that asks the token service of GitHub Actions for an
// ID token of the job, which needs "permissions: id-token: write": see
// https://docs.github.com/actions/reference/security/oidc. "" for the audience is the
// exchange audience of the cloud.
//
// The job's request token goes over TLS to the host of ACTIONS_ID_TOKEN_REQUEST_URL
// and nowhere else. GitHub takes it for about six hours.
func GitHubActions(audience string) AssertionSource {
	return ownSource{assertionsource.GitHubActions{Audience: audience}}
}

// AzurePipelines returns a source that asks Azure Pipelines for an ID token of a
// service connection with workload identity federation, given by its resource ID,
// that a step of the job has to name: see
// https://learn.microsoft.com/azure/devops/pipelines/release/configure-workload-identity.
// Its audience is the service connection's.
//
// SYSTEM_ACCESSTOKEN, which the step has to map, goes over TLS to the host of
// SYSTEM_OIDCREQUESTURI and nowhere else.
func AzurePipelines(serviceConnectionID string) AssertionSource {
	return ownSource{assertionsource.AzurePipelines{ServiceConnectionID: serviceConnectionID}}
}

// GoogleMetadata returns a source that asks the metadata server of Google Cloud for
// an ID token of the default service account, whose unique ID, a number, is the
// subject: see
// https://cloud.google.com/compute/docs/instances/verifying-instance-identity.
// "" for the audience is the exchange audience of the cloud.
//
// The server is asked at 169.254.169.254, or where GCE_METADATA_HOST says, and never
// through a proxy.
func GoogleMetadata(audience string) AssertionSource {
	return ownSource{assertionsource.GoogleMetadata{Audience: audience}}
}

// AssertionCommand returns a source that runs a program and takes what it prints:
// "circleci", "run", "oidc", "get", …, or "buildkite-agent", "oidc", "request-token", ….
// There is no shell. The program has 20 seconds and may print 1 MiB. The last line of
// its standard error is in the error if it fails.
func AssertionCommand(name string, args ...string) AssertionSource {
	return ownSource{assertionsource.NewCommand(name, args)}
}

// A checkedSource is one of this package's own. Its methods are not exported: a type of
// a user's that embeds an AssertionSource must not pass for what it holds.
type checkedSource interface {
	AssertionSource
	name() string
	check() error // what is wrong that can be seen without I/O
}

// An ownSource asks what this package knows how to ask. It is comparable.
type ownSource struct{ assertionsource.Source }

// Assertion asks the source.
func (s ownSource) Assertion(ctx context.Context, req AssertionRequest) (string, error) {
	return s.Ask(ctx, req.HTTPClient, req.Audience)
}

func (s ownSource) name() string { return s.String() }

func (s ownSource) check() error {
	var errs []error
	for _, err := range s.Check() {
		errs = append(errs, errorf(ErrCredentialMissing, "apponly: federated assertion of %s: %w", s, err))
	}
	return errors.Join(errs...)
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
	f := &federated{src: src, of: sourceName(src)}
	c := &credential{id: unique(), federated: true, resolve: f.resolve}
	if reflect.ValueOf(src).Comparable() {
		c.id = federatedID{src}
	}
	if c.err = checkSource(src); c.err != nil {
		return c
	}
	if path, ok := src.(assertionFile); ok {
		f.path, c.files = string(path), watch(string(path))
	}
	return c
}

// checkSource says what is wrong with a source that can be seen without I/O.
func checkSource(src AssertionSource) error {
	switch src := src.(type) {
	case nil:
		return errorf(ErrCredentialMissing, "apponly: assertion source is nil")
	case AssertionFunc:
		if src == nil {
			return errorf(ErrCredentialMissing, "apponly: assertion function is nil")
		}
	case noAssertionFile:
		_, err := src.Assertion(context.Background(), AssertionRequest{})
		return err
	case assertionFile:
		if src == "" {
			return errorf(ErrCredentialMissing, "apponly: path of the assertion file is empty")
		}
	case checkedSource:
		return src.check()
	}
	return nil
}

// sourceName says in errors whose assertion it is.
func sourceName(src AssertionSource) string {
	switch src := src.(type) {
	case nil, noAssertionFile:
		return ""
	case assertionFile:
		return " in " + string(src)
	case checkedSource:
		return " of " + src.name()
	case AssertionFunc:
		return " of the function"
	}
	return fmt.Sprintf(" of %T", src)
}

// federatedID is the identity of a federated credential: its source.
type federatedID struct{ src AssertionSource }

type federated struct {
	src  AssertionSource
	of   string // whose assertion it is, for errors
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
		sent: sentProof{issuer: claims.Issuer, subject: claims.Subject, audience: claims.audience(), algorithm: claims.Algorithm},
	}
	return fixedMaterial(p, material{perRequest: f.path == ""}), nil
}

// read returns an assertion and what it claims.
func (f *federated) read(ctx context.Context, req AssertionRequest, files *fileReader) (assertion string, claims assertionClaims, err error) {
	ask := func(ctx context.Context) (string, error) { return f.src.Assertion(ctx, req) }
	switch own, isOwn := f.src.(ownSource); {
	case f.path != "":
		assertion, err = readWith(ctx, files, f.path, func() (string, error) { return ask(ctx) })
	case isOwn: // one look at a time: what it brings is good for all tenants that wait for it
		assertion, err = look(ctx, files.looks, own.name(), ask)
	default:
		assertion, err = flight.Run(ctx, &f.hung, "the source", ask)
	}
	if err != nil {
		return "", claims, f.unavailable(err)
	}
	assertion = strings.TrimSpace(outsideText(assertion))
	claims, err = readClaims(assertion)
	if err != nil {
		err = errorf(ErrCredentialUnavailable, "federated assertion%s %w", f.of, err)
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

// unavailable makes the error of a source that gave no assertion, and says itself which
// it is.
func (f *federated) unavailable(err error) error {
	e := &localError{kind: ErrCredentialUnavailable, text: "federated assertion: " + err.Error(), cause: err}
	if answer, ok := errors.AsType[*assertionsource.Error](err); ok {
		e.detail = answer.Detail
	} else if other, ok := errors.AsType[*Error](err); ok { // of another client: whom it is for is no help here
		var b strings.Builder
		other.writeCause(&b)
		e.text = "federated assertion" + f.of + ": " + strings.TrimPrefix(b.String(), "apponly: ")
	} else if _, ok := errors.AsType[*contextError](err); ok { // likewise
		e.text = "federated assertion" + f.of + ": no token in time"
	}
	return e
}

func (f *federated) expiredError(ctx context.Context, exp time.Time, files *fileReader) error {
	renewal := "was not renewed"
	if src, ok := f.src.(ownSource); ok && src.Once() {
		renewal = "cannot be renewed in this job"
	}
	e := &localError{
		kind:   ErrAssertionExpired,
		text:   fmt.Sprintf("federated assertion%s has expired and %s", f.of, renewal),
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
