// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

// tokenTimeout bounds the token request, attempts included.
const tokenTimeout = 20 * time.Second

func lookAtToken(ctx context.Context, p *patient) finding {
	var failed atomic.Pointer[apponly.Event] // the first attempt, if it did
	client, err := apponly.FromEnv(&apponly.Options{OnEvent: func(_ context.Context, e apponly.Event) {
		if e.Kind == apponly.EventAttemptFailed {
			failed.CompareAndSwap(nil, &e)
		}
	}})
	if err != nil {
		return faultOf(err, setVariables)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	begin := time.Now()
	p.token, err = client.Token(ctx, p.scope)
	took := time.Since(begin)
	if first := failed.Load(); errors.Is(err, context.DeadlineExceeded) && first != nil {
		err = first.Err // says more than that the time was up
	}
	return judgeToken(p.token, err, p.Scope, took)
}

// judgeToken judges what came of the request, for the scope that was given.
func judgeToken(t apponly.Token, err error, given string, took time.Duration) finding {
	if err == nil {
		return ok("one in " + screen.Span(took) + ", good for " + screen.Span(time.Until(t.ExpiresOn())))
	}
	e, known := errors.AsType[*apponly.Error](err)
	if !known {
		return fault("no answer within "+screen.Span(took), apponly.ErrUnreachable.Remedy(), string(apponly.ErrUnreachable))
	}
	f := faultOf(e, "")
	if e.Kind == apponly.ErrResourceNotFound && given == "" {
		f.remedy = "Name the API with --scope: without it Microsoft Graph is asked for."
	}
	if e.HTTPStatus != 0 && e.CorrelationID != "" {
		f.text += "; correlation ID " + e.CorrelationID
	}
	return f
}
