// SPDX-License-Identifier: MIT

// Package wire sends requests that carry a credential: bounded in time and
// size, again where that may help, never to where a redirect points, and with
// an answer that is bytes.
package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/netfault"
	"github.com/hashicorp/go-retryablehttp"
)

const (
	// attemptTimeout bounds one attempt, well below a flight, so that a
	// connection that hangs leaves time for another one.
	attemptTimeout = 10 * time.Second
	// retries is how often a request is repeated for callers who wait. The time
	// that is left bounds it too.
	retries = 4
	// MaxAnswer bounds what is read of an answer, in bytes.
	MaxAnswer = 1 << 20
)

const errAttempt = flight.TimeoutError("no answer within 10 seconds")

// ErrTooLarge says that an answer was longer than [MaxAnswer] and was not read
// to its end.
var ErrTooLarge = errors.New("answer is larger than 1 MiB")

// An Answer is what the last attempt brought. It belongs to one request and is
// not safe for concurrent use.
type Answer struct {
	Status int // 0: none
	Header http.Header
	Body   []byte
	Sent   clock.Instant // when the attempt began
	Err    error         // why there is none, or no whole one
}

// A Policy says what is done about answers.
type Policy struct {
	// Again says whether an answer is worth another attempt, and how long the
	// server wants it to be put off; nil: the request is sent once.
	Again func(Answer) (after time.Duration, ok bool)
	// Repeating, if set, is told of an attempt that failed, before the wait for
	// the next one.
	Repeating func(Answer)
}

// Send sends req, the turn for which has come, and returns the last answer, or
// why there was none: a [netfault.RouteError] if it was sent. It blocks until then
// or until the context of req ends. Between two attempts others have their turn.
func (t *Turn) Send(req *http.Request, p Policy) Answer {
	r, err := retryablehttp.FromRequest(req)
	if err != nil {
		return Answer{Err: err}
	}
	x := &exchange{turn: t, policy: p, req: req}
	attempt := *t.client
	attempt.Transport = &attemptTransport{x, t.client.Transport}
	attempt.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	attempt.Jar = nil // a token request keeps no cookies
	retrying := retryablehttp.Client{
		HTTPClient:   &attempt,
		CheckRetry:   x.checkRetry,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return x.wait },
		PrepareRetry: func(r *http.Request) error { return t.take(r.Context()) },
		// The last answer is the answer. The stock handler that passes it on
		// leaves the body open where there is an error, too.
		ErrorHandler: func(resp *http.Response, err error, _ int) (*http.Response, error) {
			if err != nil && resp != nil {
				resp.Body.Close()
				resp = nil
			}
			return resp, err
		},
	}
	if p.Again != nil {
		retrying.RetryMax = retries
	}
	if _, err := retrying.Do(r); err != nil {
		x.answer.Err = x.route(err)
	}
	return x.answer
}

// An exchange is one request with its attempts.
type exchange struct {
	turn     *Turn
	policy   Policy
	req      *http.Request
	answer   Answer        // of the last attempt
	attempts int           // made so far
	wait     time.Duration // before the next one
}

// attemptTransport bounds one attempt in time and size and keeps its answer. It
// has no CloseIdleConnections, which retryablehttp would call after each
// failure: the connections are everybody's.
type attemptTransport struct {
	*exchange
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *attemptTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	ctx, cancel := context.WithTimeoutCause(req.Context(), attemptTimeout, errAttempt)
	defer cancel()
	a := &t.answer
	*a = Answer{Sent: clock.Now()}
	resp, err := base.RoundTrip(req.WithContext(ctx))
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
		resp.Body.Close()
	}
	if err == nil && len(body) > MaxAnswer {
		a.Status, a.Header = resp.StatusCode, resp.Header
		err = ErrTooLarge
	}
	if err != nil {
		if context.Cause(ctx) == errAttempt {
			err = errAttempt
			if own, ok := base.(*ownTransport); ok {
				// A connection that swallowed one request will swallow the next:
				// HTTP/2 keeps it although the request was given up.
				own.CloseIdleConnections()
			}
		}
		return nil, err
	}
	a.Status, a.Header, a.Body = resp.StatusCode, resp.Header, body
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Request = req
	return resp, nil
}

// checkRetry decides whether another attempt may help and fits into the time
// that is left. It never waits in vain: what would end only with the context is
// an answer now.
func (x *exchange) checkRetry(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if ctx.Err() != nil || x.policy.Again == nil {
		return false, nil
	}
	// Full jitter under a limit that doubles.
	x.wait = rand.N(500*time.Millisecond<<x.attempts) + 1
	x.attempts++
	if err != nil {
		err = x.route(err)
		if netfault.Permanent(err) || errors.Is(err, ErrTooLarge) {
			return false, nil
		}
	} else {
		after, again := x.policy.Again(x.answer)
		if !again {
			return false, nil
		}
		x.wait = max(x.wait, after)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= x.wait+time.Second || x.attempts > retries {
		return false, nil
	}
	x.turn.End()
	if x.policy.Repeating != nil {
		failed := x.answer
		failed.Err = err
		x.policy.Repeating(failed)
	}
	return true, nil
}

// route says of an error which way the request was sent that brought it.
func (x *exchange) route(err error) error {
	r := &netfault.RouteError{Host: x.req.URL.Host, Err: err}
	if proxy := proxyOf(x.turn.client.Transport); proxy != nil {
		if u, err := proxy(x.req); err == nil && u != nil {
			r.Proxy = u.Host // and not the password before it
		}
	}
	return r
}

// proxyOf returns how a transport finds its proxy, nil if that cannot be known.
func proxyOf(base http.RoundTripper) func(*http.Request) (*url.URL, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	switch t := base.(type) {
	case *http.Transport:
		return t.Proxy
	case *ownTransport:
		return t.proxy
	}
	return nil
}
