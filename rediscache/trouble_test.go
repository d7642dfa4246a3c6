// SPDX-License-Identifier: MIT

//go:build unix

package rediscache_test

import (
	"crypto/rand"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A trouble is what a server is put through while processes share their tokens by it.
type trouble struct {
	name       string
	begin, end func(t *testing.T, srv *server)
}

var troubles = []trouble{
	{"killed", func(_ *testing.T, srv *server) { srv.kill() }, func(t *testing.T, srv *server) { srv.start(t) }},
	{"stopped", func(t *testing.T, srv *server) { srv.signal(t, syscall.SIGSTOP) }, func(t *testing.T, srv *server) { srv.signal(t, syscall.SIGCONT) }},
	{"flushed", func(t *testing.T, srv *server) { srv.do(t, "FLUSHALL") }, nil},
	{"full", func(t *testing.T, srv *server) { srv.do(t, "CONFIG", "SET", "maxmemory", "1") }, func(t *testing.T, srv *server) { srv.do(t, "CONFIG", "SET", "maxmemory", "0") }},
	{"read-only", func(t *testing.T, srv *server) { srv.do(t, "REPLICAOF", "127.0.0.1", "1") }, func(t *testing.T, srv *server) { srv.do(t, "REPLICAOF", "NO", "ONE") }},
	{"poisoned", poison, nil},
	{"garbage", answerWithGarbage, func(t *testing.T, srv *server) { srv.start(t) }},
}

// poison puts something else in place of all that is kept.
func poison(t *testing.T, srv *server) {
	admin := srv.admin(t)
	names, err := admin.Keys(t.Context(), "*").Result()
	if err != nil || len(names) == 0 {
		t.Fatalf("nothing is kept: %v", err)
	}
	for _, name := range names {
		if err := admin.SetArgs(t.Context(), name, rand.Text(), redis.SetArgs{TTL: time.Hour}).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// answerWithGarbage puts a server in the place of Redis that is none, until the socket is
// Redis's again.
func answerWithGarbage(t *testing.T, srv *server) {
	srv.kill()
	l, err := net.Listen("unix", srv.socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerGarbage(conn, "HTTP/1.1 400 Bad Request\r\n\r\n", "$1099511627776\r\n")
		}
	}()
	time.AfterFunc(phase, func() { l.Close() }) // which removes the socket
}

// phase is how long a trouble lasts, and how long there is none after it: a refresh is due
// every few seconds.
const phase = 3 * time.Second

// Whatever happens to the server, no call of any process fails, or waits for long.
func TestFleetInTrouble(t *testing.T) {
	srv := startRedis(t)
	f := newFleet(t, "APPONLY_REDIS_URL=unix://"+srv.socket)
	f.start(20)
	for _, trouble := range troubles {
		before := f.sts.TokenRequests()
		trouble.begin(t, srv)
		<-time.After(phase)
		f.start(1) // with nothing in its memory
		if trouble.end != nil {
			<-time.After(500 * time.Millisecond)
			trouble.end(t, srv)
		}
		<-time.After(phase)
		t.Logf("%s: %d token requests of %d processes", trouble.name, f.sts.TokenRequests()-before, len(f.pods))
	}
	f.stop()
}
