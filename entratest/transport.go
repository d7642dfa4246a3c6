// SPDX-License-Identifier: MIT

package entratest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// memoryTransport carries requests to a Server by calling it. There is no
// socket, so a goroutine that waits for an answer is durably blocked in the
// sense of testing/synctest.
type memoryTransport struct{ s *Server }

// CloseIdleConnections does nothing: there are none.
func (t *memoryTransport) CloseIdleConnections() {}

// RoundTrip implements http.RoundTripper.
func (t *memoryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	body := &onceCloser{ReadCloser: req.Body}
	if req.Body == nil {
		body.ReadCloser = http.NoBody
	}
	if err := t.reach(req); err != nil {
		body.Close()
		return nil, err
	}

	type outcome struct {
		resp *http.Response
		err  error
	}
	done := make(chan outcome, 1) // the handler never waits for who has left
	go func() {
		defer body.Close()
		rec := &recorder{header: make(http.Header)}
		err := serve(t.s, rec, asReceived(req, body))
		done <- outcome{rec.response(req), err}
	}()
	select {
	case out := <-done:
		if out.err != nil {
			return nil, out.err
		}
		return out.resp, nil
	case <-req.Context().Done():
		body.Close() // or a handler that reads it might stay for ever
		return nil, context.Cause(req.Context())
	}
}

// reach fails where a network would fail before anything is sent.
func (t *memoryTransport) reach(req *http.Request) error {
	if err := req.Context().Err(); err != nil {
		return context.Cause(req.Context())
	}
	base := req.URL.Scheme + "://" + canonicalHost(req.URL.Host)
	if base == t.s.Cloud().Authority() || t.s.regionOf(base) != "" {
		return nil
	}
	cause := error(&net.DNSError{Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true})
	if canonicalHost(req.URL.Host) == canonicalHost(t.s.Cloud().Authority()[len("https://"):]) {
		cause = errors.New("connection refused: the emulator is reached over https")
	}
	return &net.OpError{Op: "dial", Net: "tcp", Err: cause}
}

// asReceived makes a client's request look like one a server has read.
func asReceived(req *http.Request, body io.ReadCloser) *http.Request {
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	in.URL.Scheme, in.URL.Host, in.URL.User, in.URL.Fragment = "", "", nil, ""
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	in.RemoteAddr = "127.0.0.1:1"
	in.Body, in.GetBody = body, nil
	if in.Header == nil {
		in.Header = make(http.Header)
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	return in
}

// serve runs the handler. One that aborts looks like a lost connection to the
// client, as it does with net/http.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			err = io.ErrUnexpectedEOF
		default:
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// recorder collects an answer.
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the status was written
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) response(req *http.Request) *http.Response {
	r.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:        strconv.Itoa(r.status) + " " + http.StatusText(r.status),
		StatusCode:    r.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.sent,
		Body:          io.NopCloser(&r.body),
		ContentLength: int64(r.body.Len()),
		Request:       req,
	}
}

// onceCloser closes a request body once, whoever is first.
type onceCloser struct {
	io.ReadCloser
	once sync.Once
	err  error
}

func (c *onceCloser) Close() error {
	c.once.Do(func() { c.err = c.ReadCloser.Close() })
	return c.err
}
