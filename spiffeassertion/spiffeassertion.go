// SPDX-License-Identifier: MIT

package spiffeassertion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/apponly/apponly"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Options of [New]. The zero value is fine, and so is nil.
type Options struct {
	// Audience is what the assertion is made out to. Empty: the exchange audience
	// of the client's cloud, which is right unless the federated credential names
	// another.
	Audience string
	// Subject chooses among several identities of the workload. Zero: the first, or
	// what the source's own picker chooses, by hint for example
	// ([workloadapi.WithDefaultJWTSVIDPicker]).
	Subject spiffeid.ID
}

// New returns a source of assertions that are JWT-SVIDs of source, which has to
// stay open. Sources of the same JWTSource and equal options are equal, so that
// clients made with them share their tokens.
func New(source *workloadapi.JWTSource, opts *Options) apponly.AssertionSource {
	s := svidSource{source: source}
	if opts != nil {
		s.opts = *opts
	}
	return s
}

type svidSource struct {
	source *workloadapi.JWTSource
	opts   Options
}

// Assertion fetches an SVID.
func (s svidSource) Assertion(ctx context.Context, req apponly.AssertionRequest) (string, error) {
	if s.source == nil {
		return "", &failure{"the JWTSource is nil", nil}
	}
	params := jwtsvid.Params{Audience: cmp.Or(s.opts.Audience, req.Audience), Subject: s.opts.Subject}
	// Thousands of tenants may need one at once, and one will do for all: an agent
	// has a limit.
	got, err, _ := calls.Do(fmt.Sprintf("%p %s %s", s.source, params.Subject, params.Audience), func() (any, error) {
		return s.fetch(ctx, params)
	})
	if err != nil {
		return "", s.explain(ctx, err)
	}
	svid, _ := got.(*jwtsvid.SVID)
	if err := check(svid); err != nil {
		return "", &failure{err.Error(), nil}
	}
	return svid.Marshal(), nil
}

// calls are those under way, by JWTSource, subject and audience. They are not the
// source's own, which has to be comparable.
var calls singleflight.Group

// pauses are for an agent that is being restarted: gRPC itself fails at once
// while it waits, about a second, to connect again.
var pauses = []time.Duration{500 * time.Millisecond, 2 * time.Second}

func (s svidSource) fetch(ctx context.Context, params jwtsvid.Params) (*jwtsvid.SVID, error) {
	for _, pause := range pauses {
		svid, err := s.source.FetchJWTSVID(ctx, params)
		if status.Code(err) != codes.Unavailable {
			return svid, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
	return s.source.FetchJWTSVID(ctx, params)
}

// check finds what Entra would refuse in words that do not tell what to do about
// it at SPIRE.
func check(svid *jwtsvid.SVID) error {
	if svid == nil {
		return errors.New("the source's picker chose no SVID")
	}
	if iss, _ := svid.Claims["iss"].(string); iss == "" {
		return fmt.Errorf("the JWT-SVID of %s has no issuer: set jwt_issuer at the SPIRE server, to the issuer of the federated credential", svid.ID)
	}
	return nil
}

// A failure is why there is no assertion. It wraps
// [apponly.ErrCredentialUnavailable] and the cause.
type failure struct {
	text  string
	cause error // may be nil
}

func (e *failure) Error() string { return "SPIFFE Workload API: " + e.text }

func (e *failure) Unwrap() []error {
	if e.cause == nil {
		return []error{apponly.ErrCredentialUnavailable}
	}
	return []error{apponly.ErrCredentialUnavailable, e.cause}
}

// remedies are what to do about an answer of the Workload API: see
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md.
var remedies = map[codes.Code]string{
	codes.Unavailable:       "the agent does not answer: is it running, and at this address (SPIFFE_ENDPOINT_SOCKET)?",
	codes.InvalidArgument:   "the agent refuses the request",
	codes.Unimplemented:     "the agent has no JWT-SVIDs",
	codes.ResourceExhausted: "the agent has too many requests: share one source",
}

// explain says what a person does next, first what must not be cut off.
func (s svidSource) explain(ctx context.Context, err error) error {
	answer, answered := status.FromError(err)
	switch {
	case ctx.Err() != nil:
		cause := context.Cause(ctx)
		return &failure{"no answer: " + cause.Error(), cause}
	case !answered:
		return &failure{oneLine(err.Error()), err}
	case answer.Code() == codes.PermissionDenied:
		return &failure{oneLine(s.denied() + ": " + answer.Message()), err}
	}
	text := answer.Message()
	if remedy := remedies[answer.Code()]; remedy != "" {
		text = remedy + ": " + text
	}
	return &failure{oneLine(text), err}
}

// denied names the identity that was not issued.
func (s svidSource) denied() string {
	what := "no identity is registered"
	if !s.opts.Subject.IsZero() {
		what = s.opts.Subject.String() + " is not registered"
	}
	return what + ` for this process: "spire-server entry create" with selectors that match it, then wait for the agent's sync`
}

// maxText is what an error may take of what the agent wrote.
const maxText = 1000

// oneLine makes what others wrote fit for one line of a log.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
