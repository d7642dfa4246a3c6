// SPDX-License-Identifier: MIT

package entratest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
)

// recorder collects an answer in memory. The client gets it when the handler
// returns, or flushes; the second is how an answer stops in its middle.
type recorder struct {
	req   *http.Request
	leave context.CancelFunc // the client has left

	header http.Header // the handler's alone

	// The client's from when begun is closed.
	sent    http.Header // as it was when the status was written
	status  int
	flushed []byte // the body up to the first Flush
	failed  error  // instead of an answer

	// The client's from when ended is closed.
	rest bytes.Buffer // the body from the first Flush on, or all of it
	err  error        // what it ends in

	begun chan struct{} // there is an answer, or a failure
	ended chan struct{} // the handler has returned
}

func newRecorder(req *http.Request, leave context.CancelFunc) *recorder {
	return &recorder{
		req: req, leave: leave,
		header: make(http.Header), begun: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Header implements http.ResponseWriter, as do WriteHeader and Write.
func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.rest.Write(p)
}

// Flush implements http.Flusher. A second one does nothing: what follows the
// first is seen at the end.
func (r *recorder) Flush() {
	if r.hasBegun() {
		return
	}
	r.WriteHeader(http.StatusOK)
	r.flushed = bytes.Clone(r.rest.Bytes())
	r.rest.Reset()
	close(r.begun)
}

// reset makes the client see what a RST does.
func (r *recorder) reset() {
	r.err = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// finish is called when the handler has returned, with err if it aborted.
func (r *recorder) finish(err error) {
	if r.err == nil {
		r.err = err
	}
	begun := r.hasBegun()
	if !begun {
		r.WriteHeader(http.StatusOK)
		r.failed = r.err
	}
	close(r.ended)
	if !begun {
		close(r.begun)
	}
}

func (r *recorder) hasBegun() bool {
	select {
	case <-r.begun:
		return true
	default:
		return false
	}
}

// response returns the answer, once it has begun.
func (r *recorder) response() (*http.Response, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	length, err := strconv.ParseInt(r.sent.Get("Content-Length"), 10, 64)
	if err != nil {
		length = r.length()
	}
	body := io.ReadCloser(http.NoBody)
	if r.req.Method != http.MethodHead {
		body = &memoryBody{rec: r, part: bytes.NewReader(r.flushed), missing: length}
	}
	return &http.Response{
		Status:        strconv.Itoa(r.status) + " " + http.StatusText(r.status),
		StatusCode:    r.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.sent,
		Body:          body,
		ContentLength: length,
		Request:       r.req,
	}, nil
}

// length is that of a body that nobody has announced. net/http knows it if the
// handler has returned without a Flush.
func (r *recorder) length() int64 {
	select {
	case <-r.ended:
		if r.req.Method != http.MethodHead && r.flushed == nil {
			return int64(r.rest.Len())
		}
	default:
	}
	return -1
}

// memoryBody is the body of an answer that a recorder collects.
type memoryBody struct {
	rec     *recorder
	part    *bytes.Reader // what there is to read
	last    bool          // part is the rest
	missing int64         // how much of the Content-Length has not been read, if that is known
}

// Read implements io.Reader. It waits for the handler if the answer stops in
// its middle; that in turn leaves when the context of the request ends.
func (b *memoryBody) Read(p []byte) (int, error) {
	if b.part.Len() == 0 && !b.last {
		<-b.rec.ended
		b.part, b.last = bytes.NewReader(b.rec.rest.Bytes()), true
	}
	if b.part.Len() > 0 {
		n, err := b.part.Read(p)
		b.missing -= int64(n)
		return n, err
	}
	switch ctx := b.rec.req.Context(); {
	case b.rec.err != nil && ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case b.rec.err != nil:
		return 0, b.rec.err
	case b.missing > 0:
		return 0, io.ErrUnexpectedEOF
	}
	return 0, io.EOF
}

// Close implements io.Closer.
func (b *memoryBody) Close() error {
	b.rec.leave()
	return nil
}
