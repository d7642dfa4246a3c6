// SPDX-License-Identifier: MIT

//go:build unix

package rediscache_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/apponly/apponly/rediscache"
)

// fakeRedis answers the first command, which is HELLO, and everything that comes
// after it.
func fakeRedis(t *testing.T, hello, then string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerGarbage(conn, hello, then)
		}
	}()
	return "redis://" + l.Addr().String()
}

func answerGarbage(conn net.Conn, answers ...string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, answer := range answers {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		in.Discard(in.Buffered())
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, in)
}

func TestGarbage(t *testing.T) {
	const hello = "%1\r\n$5\r\nproto\r\n:3\r\n"
	for what, garbage := range map[string]string{
		"nothing":              "",
		"more than there is":   "$9223372036854775806\r\n",
		"1 TiB":                "$1099511627776\r\n",
		"a number too large":   "$99999999999999999999999\r\n",
		"half a TiB, verbatim": "=549755813888\r\n",
		"a large error":        "!549755813888\r\n",
		"many elements":        "*1099511627776\r\n",
		"many pairs":           "%1099511627776\r\n",
		"many of a set":        "~1099511627776\r\n",
		"many pushed":          ">1099511627776\r\n",
		"many attributes":      "|1099511627776\r\n",
		"a negative length":    "$-2\r\n",
		"a stream":             "$?\r\n;4\r\nevil\r\n",
		"a line without end":   "+" + strings.Repeat("x", 1<<20),
		"empty lines":          strings.Repeat("\r\n", 1000),
		"newlines":             strings.Repeat("\n", 1000),
		"HTTP":                 "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
		"bytes":                "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\x00\x00",
		"deep":                 strings.Repeat("*1\r\n", 100000),
	} {
		t.Run(what, func(t *testing.T) {
			for _, answers := range [][2]string{{garbage, garbage}, {hello, garbage}} {
				s := open(t, fakeRedis(t, answers[0], answers[1]), nil)
				wantInTime(t, "Get", false, func() error { _, _, err := s.Get(budget(t), key); return err })
				s = open(t, fakeRedis(t, answers[0], answers[1]), nil)
				wantInTime(t, "Add", false, func() error { return addFails(t, s) })
			}
		})
	}
}

func addFails(t *testing.T, s *rediscache.Store) error {
	added, err := s.Add(budget(t), key, []byte("v"), 1)
	if added {
		t.Error("something was added")
	}
	return err
}
