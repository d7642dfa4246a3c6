// SPDX-License-Identifier: MIT

package rediscache

import (
	"errors"
	"net"
	"strconv"
)

// A boundedConn ends a connection whose other side announces more than anybody has asked
// for. go-redis allocates what is announced before it is there: a few bytes of a server
// that is none end the process for want of memory, which nothing can recover from.
//
// RESP is a sequence of lines that begin with a type. A few of them announce bytes,
// which follow before the next line, some announce elements, which are lines again.
type boundedConn struct {
	net.Conn
	skip int // bytes of the value under way
	line []byte
}

const (
	maxLine     = 4 << 10
	maxElements = 1000 // the answer to HELLO has some 20
	maxBytes    = 2 * maxValue
)

var errUnbounded = errors.New("the server says more than it is asked for, or is no Redis")

// Read is called by one goroutine at a time.
func (c *boundedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.bounded(b[:n]) {
		c.Close()
		return 0, errUnbounded
	}
	return n, err
}

func (c *boundedConn) bounded(b []byte) bool {
	for len(b) > 0 {
		if skipped := min(c.skip, len(b)); skipped > 0 {
			c.skip -= skipped
			b = b[skipped:]
			continue
		}
		char := b[0]
		b = b[1:]
		if c.line = append(c.line, char); len(c.line) > maxLine {
			return false
		}
		if char == '\n' {
			if !c.announced(string(c.line)) {
				return false
			}
			c.line = c.line[:0]
		}
	}
	return true
}

// announced reports whether what a line announces is within bounds.
func (c *boundedConn) announced(line string) bool {
	if len(line) < 3 { // a type and CR LF
		return false
	}
	limit := 0
	switch line[0] {
	case '$', '=', '!':
		limit = maxBytes
	case '*', '%', '~', '>', '|':
		limit = maxElements
	default:
		return true
	}
	n, err := strconv.Atoi(line[1 : len(line)-2])
	if err != nil || n < -1 || n > limit {
		return false
	}
	if limit == maxBytes && n >= 0 {
		c.skip = n + 2 // and CR LF
	}
	return true
}
