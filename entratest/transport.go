// SPDX-License-Identifier: MIT

package entratest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// plainHosts is who else is played in memory, over plain http: the metadata
// services of cloud machines.
var plainHosts = []string{"169.254.169.254", "metadata.google.internal"}

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
	handler, err := t.reach(req)
	if err != nil {
		body.Close()
		return nil, err
	}

	// The handler has a context of its own, which also ends when the client
	// closes the body of the answer: that is how a client leaves.
	ctx, leave := context.WithCancel(req.Context())
	rec := newRecorder(req, leave)
	in := asReceived(req.WithContext(ctx), body) // here: once this returns req is the caller's again
	go func() {
		defer leave()
		defer body.Close()
		rec.finish(serve(handler, rec, in))
	}()
	select {
	case <-rec.begun:
		return rec.response()
	case <-req.Context().Done():
		body.Close() // or a handler that reads it might stay for ever
		return nil, context.Cause(req.Context())
	}
}

// reach returns who answers a request. It fails where a network would fail
// before anything is sent.
func (t *memoryTransport) reach(req *http.Request) (http.Handler, error) {
	if err := req.Context().Err(); err != nil {
		return nil, context.Cause(req.Context())
	}
	secure, plain := t.s.bases()
	switch base := req.URL.Scheme + "://" + canonicalHost(req.URL.Host); {
	case base == secure, t.s.regionOf(base) != "":
		return t.s, nil
	case base == plain, req.URL.Scheme == "http" && slices.Contains(plainHosts, strings.TrimSuffix(strings.ToLower(req.URL.Host), ":80")):
		return http.HandlerFunc(t.s.servePlain), nil
	}
	cause := error(&net.DNSError{Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true})
	if canonicalHost(req.URL.Host) == canonicalHost(secure[len("https://"):]) {
		cause = errors.New("connection refused: the emulator is reached over https")
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: cause}
}

// bases returns where the emulator is, over https and over plain http.
func (s *Server) bases() (secure, plain string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cloud.Authority(), s.plainBase
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
	in.Header = make(http.Header, len(req.Header))
	for name, values := range req.Header {
		for _, v := range values {
			in.Header.Add(name, v) // a server knows names in canonical form only
		}
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
