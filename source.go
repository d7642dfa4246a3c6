// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
)

// A source gets one token over the network: the part of a [tokencache.Source]
// in which clients differ. The note is a []Event, what has changed on the way.
type source interface {
	Fetch(ctx context.Context, req tokencache.Request) (g tokencache.Grant, note any, err error)
	Stamp() string
}

// Failure makes the error of a flight an *Error, which all callers that waited
// share.
func (s *shared) Failure(err error, req tokencache.Request) tokencache.Failure {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = unreachable(err)
	}
	return failure{e.of(req.Tenant, s.clientID, req.Scope)}
}

// Observe tells the observers of a flight.
func (s *shared) Observe(ctx context.Context, f tokencache.Flight) {
	changes, _ := f.Note.([]Event)
	kind := EventTokenRequest
	if f.Shared {
		kind = EventShared
	}
	s.emit(context.WithoutCancel(ctx), Event{
		Kind: kind, Time: f.Began, TenantID: f.Tenant, ClientID: s.clientID, Scope: f.Scope,
		Reason: Reason(f.Reason), Duration: f.Duration, Behind: f.Behind, ExpiresOn: Token{f.Token}.ExpiresOn(), Err: f.Err,
	}, changes)
}

// A failure is an Error as the token cache sees it.
type failure struct{ err *Error }

// Pace implements tokencache.Failure.
func (f failure) Pace() (passing bool, retryAt time.Time) {
	return recoveryFor(f.err).retrySoon, f.err.RetryAt
}

// At implements tokencache.Failure.
func (f failure) At(retryAt time.Time) (answer, remembered error) {
	f.err.RetryAt = retryAt
	later := *f.err
	later.Remembered = true
	return f.err, &later
}
