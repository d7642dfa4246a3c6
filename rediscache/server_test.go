// SPDX-License-Identifier: MIT

//go:build unix

package rediscache_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly/rediscache"
	"github.com/redis/go-redis/v9"
)

// A server is a redis-server of a test, on a socket and with nothing on disk.
type server struct {
	dir, socket string
	args        []string
	cmd         *exec.Cmd
}

// startRedis starts one, and skips the test where there is none.
func startRedis(t *testing.T, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server here: ", err)
	}
	dir, err := os.MkdirTemp("", "redis") // the paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: dir, socket: filepath.Join(dir, "s")}
	s.args = append([]string{"--port", "0", "--unixsocket", s.socket, "--dir", dir, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"}, args...)
	s.start(t)
	t.Cleanup(func() {
		s.kill()
		os.RemoveAll(dir)
	})
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command("redis-server", s.args...)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("unix", s.socket)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not listen: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// kill is kill -9.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.Remove(s.socket)
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// admin returns a client of the administrator's.
func (s *server) admin(t *testing.T) *redis.Client {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket, DisableIdentity: true})
	t.Cleanup(func() { c.Close() })
	return c
}

// do has the administrator send a command.
func (s *server) do(t *testing.T, args ...any) any {
	t.Helper()
	answer, err := s.admin(t).Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return answer
}

func open(t *testing.T, url string, opts *rediscache.Options) *rediscache.Store {
	t.Helper()
	s, err := rediscache.Open(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// budget is what an operation gets from apponly.
func budget(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
