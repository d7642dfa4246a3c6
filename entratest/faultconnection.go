// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"

	"github.com/apponly/apponly/internal/memhttp"
)

// deliver sends an answer, or what is left of it if the connection is to fail.
func (c *call) deliver(w http.ResponseWriter, ans answer) {
	switch ans.broken {
	case "":
		c.write(w, ans)
	case connTruncate:
		// net/http sees that less was sent than announced, and ends the
		// connection, or the stream, in good order: a lazy proxy, not an abort.
		c.write(w, ans)
	case connHang:
		c.readAll()
		c.write(w, ans)
		_ = http.NewResponseController(w).Flush() // where that cannot be, nothing is out yet, which hangs as well
		c.waitFor(nil)
		panic(http.ErrAbortHandler)
	case connBlackHole:
		c.readAll()
		c.waitFor(nil)
		panic(http.ErrAbortHandler)
	case connReset:
		reset(w)
	}
}

// readAll reads what peekSender has left of a very long body, for the same
// reason.
func (c *call) readAll() { _, _ = io.Copy(io.Discard, c.r.Body) }

// reset ends the connection with a RST, where there is one. A stream of HTTP/2
// is reset by the abort.
func reset(w http.ResponseWriter) {
	if memhttp.Reset(w) {
		panic(http.ErrAbortHandler)
	}
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		// TLS would say goodbye first.
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn()
		}
		if socket, ok := conn.(*net.TCPConn); ok {
			_ = socket.SetLinger(0) // nothing is sent any more, and no FIN
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
