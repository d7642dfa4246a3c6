// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"net"
	"strconv"
	"sync"
)

// maxConnections is how many connections one caller may have: the user at the other
// end of a socket, or the address it comes from.
const maxConnections = 256

// A limitedListener closes the connections that a caller has too many of. It does not
// make them wait in Accept, where those of others would wait behind them.
type limitedListener struct {
	net.Listener
	mu   sync.Mutex // guards open
	open map[string]int
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who, key, err := peerOf(conn)
		if err != nil || !l.take(key) {
			conn.Close()
			continue
		}
		return &countedConn{Conn: conn, who: who, release: sync.OnceFunc(func() { l.release(key) })}, nil
	}
}

func (l *limitedListener) take(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[string]int{}
	}
	if l.open[key] >= maxConnections {
		return false
	}
	l.open[key]++
	return true
}

func (l *limitedListener) release(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[key]--; l.open[key] <= 0 {
		delete(l.open, key)
	}
}

// peerOf returns what a connection says about its other end, and what it counts as.
func peerOf(conn net.Conn) (who identity, key string, err error) {
	if c, ok := conn.(*net.UnixConn); ok {
		uid, err := peerUID(c)
		return identity{uid: uid, hasUID: true}, "uid " + strconv.FormatUint(uint64(uid), 10), err
	}
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	return identity{}, host, err
}

type countedConn struct {
	net.Conn
	who     identity
	release func()
}

func (c *countedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

type arrivalKey struct{}

// arrive notes in the context of a connection's requests who is at its other end.
func arrive(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*countedConn); ok {
		return context.WithValue(ctx, arrivalKey{}, c.who)
	}
	return ctx
}

// arrival is what is known of a caller before a word is read.
func arrival(ctx context.Context) identity {
	who, _ := ctx.Value(arrivalKey{}).(identity)
	return who
}
