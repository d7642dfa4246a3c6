// SPDX-License-Identifier: MIT

// Package memhttp carries HTTP requests to a handler in memory. There is no
// socket, so whoever waits for an answer is durably blocked in the sense of
// testing/synctest.
//
// Unlike a server of net/http it adds no header, and a handler's panic with
// anything but [http.ErrAbortHandler] ends the program.
package memhttp

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// Transport is an [http.RoundTripper] that calls handlers.
type Transport struct {
	// Reach returns the handler that answers a request, or the error that a
	// network would fail with before anything is sent.
	Reach func(*http.Request) (http.Handler, error)
}

// New returns a Transport by which h answers every request, whatever its host.
func New(h http.Handler) *Transport {
	return &Transport{Reach: func(*http.Request) (http.Handler, error) { return h, nil }}
}

// RoundTrip implements [http.RoundTripper]. It returns once the handler has
// returned or flushed. The handler's context ends with the request's, and when
// the client closes the body of the answer.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	body := req.Body
	if body == nil {
		body = http.NoBody
	}
	var handler http.Handler
	err := context.Cause(req.Context())
	if err == nil {
		handler, err = t.Reach(req)
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	ctx, leave := context.WithCancel(req.Context())
	context.AfterFunc(ctx, func() { body.Close() }) // or a handler that reads it might stay for ever
	a := &answer{req: req, leave: leave, header: make(http.Header), length: -1, begun: make(chan struct{})}
	a.more.L = &a.mu
	in := received(req.WithContext(ctx), body) // here, because after RoundTrip req is the caller's again
	go func() {
		defer leave()
		a.serve(handler, in)
		a.finish()
	}()
	select {
	case <-a.begun:
		return a.response()
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

// received makes a client's request look like one that a server has read.
func received(req *http.Request, body io.Reader) *http.Request {
	in := req.Clone(req.Context())
	in.Method = cmp.Or(req.Method, http.MethodGet)
	in.Host = cmp.Or(req.Host, req.URL.Host)
	in.RequestURI = req.URL.RequestURI()
	in.URL.Scheme, in.URL.Host, in.URL.User, in.URL.Fragment = "", "", nil, ""
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	in.RemoteAddr = "127.0.0.1:1"
	in.Body, in.GetBody = io.NopCloser(body), nil
	in.Header = make(http.Header, len(req.Header))
	for name, values := range req.Header {
		for _, v := range values {
			in.Header.Add(name, v) // a server knows names in canonical form only
		}
	}
	return in
}

// answer is the handler's ResponseWriter, and what the client reads from.
type answer struct {
	req     *http.Request
	leave   context.CancelFunc
	header  http.Header // the handler's alone, as are written and aborted
	written int64
	aborted error // how the connection ends, if not in good order

	// The handler's until begun is closed, and fixed from then on.
	status int
	sent   http.Header // header as it was when the status was written
	length int64       // of the body, -1 if unknown
	failed error       // instead of an answer
	open   sync.Once
	begun  chan struct{}

	mu   sync.Mutex // guards the following
	more sync.Cond
	body bytes.Buffer
	end  error // what follows the body; nil while the handler runs
}

// serve runs the handler. One that aborts looks like a lost connection, as with
// net/http.
func (a *answer) serve(h http.Handler, in *http.Request) {
	defer func() {
		switch v := recover(); {
		case v == nil:
		case v != http.ErrAbortHandler:
			panic(v)
		case a.aborted == nil:
			a.aborted = io.ErrUnexpectedEOF
		}
	}()
	h.ServeHTTP(a, in)
}

// Reset has the client see a connection that was reset (a RST of TCP) once the
// handler has returned or aborted. It reports whether w is that of a [Transport].
func Reset(w http.ResponseWriter) bool {
	a, ok := w.(*answer)
	if ok {
		a.aborted = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return ok
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
		if n, err := strconv.ParseInt(a.sent.Get("Content-Length"), 10, 64); err == nil {
			a.length = n
		}
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.written += int64(len(p))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.more.Signal()
	return a.body.Write(p)
}

func (a *answer) Flush() {
	a.WriteHeader(http.StatusOK)
	a.open.Do(func() { close(a.begun) })
}

// finish says how the answer ends, now that the handler has returned.
func (a *answer) finish() {
	a.WriteHeader(http.StatusOK)
	end := a.aborted
	switch ctx := a.req.Context(); {
	case end != nil && ctx.Err() != nil: // it aborted because the client left
		end = context.Cause(ctx)
	case end == nil && a.length > a.written:
		end = io.ErrUnexpectedEOF
	case end == nil:
		end = io.EOF
	}
	a.open.Do(func() {
		if a.aborted != nil {
			a.failed = end
		}
		if a.length < 0 && a.req.Method != http.MethodHead {
			a.length = a.written
		}
		close(a.begun)
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end = end
	a.more.Signal()
}

// response returns the answer once it has begun.
func (a *answer) response() (*http.Response, error) {
	if a.failed != nil {
		return nil, a.failed
	}
	body := io.ReadCloser(http.NoBody)
	if a.req.Method != http.MethodHead {
		body = (*responseBody)(a)
	}
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: body, ContentLength: a.length, Request: a.req,
	}, nil
}

// responseBody is an answer as the client reads it: Read waits as long as the
// handler may still write, and Close makes the handler's context end.
type responseBody answer

func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.body.Len() == 0 && b.end == nil {
		b.more.Wait()
	}
	if b.body.Len() > 0 {
		return b.body.Read(p)
	}
	return 0, b.end
}

func (b *responseBody) Close() error {
	b.leave()
	return nil
}
