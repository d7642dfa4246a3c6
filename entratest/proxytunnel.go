// SPDX-License-Identifier: MIT

package entratest

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
)

// A tunnel is a client's connection after its CONNECT.
type tunnel struct {
	net.Conn
	early io.Reader // what the client sent behind its CONNECT without waiting, then the rest
	host  string    // that it asked for, without the default port
}

// lingering is what a connection has that can be reset.
type lingering interface{ SetLinger(seconds int) error }

// SetLinger is that of the socket.
func (t *tunnel) SetLinger(seconds int) error { return setLinger(t.Conn, seconds) }

// SetLinger is that of the socket.
func (c *limitedConn) SetLinger(seconds int) error { return setLinger(c.Conn, seconds) }

func setLinger(conn net.Conn, seconds int) error {
	if socket, ok := conn.(lingering); ok {
		return socket.SetLinger(seconds)
	}
	return nil
}

func (t *tunnel) Read(p []byte) (int, error) { return t.early.Read(p) }

// openTunnel takes over the connection of a CONNECT.
func openTunnel(w http.ResponseWriter, host string) (*tunnel, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	sent, _ := rw.Reader.Peek(rw.Reader.Buffered()) // no more than is there, so it cannot fail
	return &tunnel{conn, io.MultiReader(bytes.NewReader(bytes.Clone(sent)), conn), host}, nil
}

// tunnelKey is the key of a tunnel's host in the context of what comes out of it.
type tunnelKey struct{}

func withTunnel(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if t, ok := conn.(*tunnel); ok {
		ctx = context.WithValue(ctx, tunnelKey{}, t.host)
	}
	return ctx
}

// tunnels is a net.Listener that accepts the connections it is given.
type tunnels struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newTunnels(addr net.Addr) *tunnels {
	return &tunnels{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over, or closes it if nobody takes it any more.
func (t *tunnels) give(conn net.Conn) {
	select {
	case t.conns <- conn:
	case <-t.closed:
		conn.Close()
	}
}

func (t *tunnels) Accept() (net.Conn, error) {
	select {
	case conn := <-t.conns:
		return conn, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

func (t *tunnels) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

func (t *tunnels) Addr() net.Addr { return t.addr }

// limitedListener has no more connections at a time than its slots; others wait in the
// queue of the operating system.
type limitedListener struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

func limitListener(ln net.Listener, most int) *limitedListener {
	return &limitedListener{Listener: ln, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
