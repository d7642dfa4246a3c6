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

// Send sends req by client, or by one of the process if that is nil, and returns
// the last answer, or why there was none. It blocks until then or until the
// context of req ends. again says whether an answer is worth another attempt, and
// how long the server wants it to be put off; nil: it is sent once.
func Send(req *http.Request, client *http.Client, again func(Answer) (after time.Duration, ok bool)) Answer {
	r, err := retryablehttp.FromRequest(req)
	if err != nil {
		return Answer{Err: err}
	}
	if client == nil {
		client = defaultClient()
	}
	x := &exchange{again: again}
	attempt := *client
	attempt.Transport = &attemptTransport{x, client.Transport}
	attempt.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	attempt.Jar = nil // a token request keeps no cookies
	retrying := retryablehttp.Client{
		HTTPClient: &attempt,
		CheckRetry: x.checkRetry,
		Backoff:    func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return x.wait },
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
	if again != nil {
		retrying.RetryMax = retries
	}
	if _, err := retrying.Do(r); err != nil {
		x.answer.Err = err
	}
	return x.answer
}

// An exchange is one request with its attempts.
type exchange struct {
	again    func(Answer) (time.Duration, bool)
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
func (x *exchange) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil || x.again == nil {
		return false, nil
	}
	// Full jitter under a limit that doubles.
	x.wait = rand.N(500*time.Millisecond<<x.attempts) + 1
	x.attempts++
	if err != nil {
		if netfault.Permanent(err) || errors.Is(err, ErrTooLarge) {
			return false, nil
		}
	} else {
		after, again := x.again(x.answer)
		if !again {
			return false, nil
		}
		x.wait = max(x.wait, after)
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > x.wait+time.Second, nil
}
